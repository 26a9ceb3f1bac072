"""Pretraining: what is optimised, what is recorded, what is saved."""
