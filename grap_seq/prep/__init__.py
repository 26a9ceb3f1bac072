"""From a table of events to a prepared folder: one row per sequence, coded and scaled."""
