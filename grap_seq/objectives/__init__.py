"""Pretraining losses: the next event field by field, CoLES, and the downstream head."""
