"""What computes: DuckDB or Spark, behind one interface."""
