"""What embeddings are worth: frozen embeddings, plain aggregates, and both, under LightGBM."""
