"""From raw events to coded sequences, a stage after the other."""
