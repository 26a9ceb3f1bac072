"""Prepared parquet to batches: memory-mapped rows, counter-based crops, batches of equal length."""
