"""Event embedding, sequence encoders, pooling: plain PyTorch modules over ptls `PaddedBatch`."""
