"""What predicts the label from an embedding."""

from __future__ import annotations

from torch import nn

from grap_seq.nn.batch_norm import BatchNorm


def build_head(size: int, outputs: int, hidden: int = 0) -> nn.Module:
    """Embeddings (B, size) to (B, outputs), through a hidden layer where it has a width."""
    if not hidden:
        return nn.Sequential(BatchNorm(size), nn.Linear(size, outputs))
    layers = nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    return nn.Sequential(BatchNorm(size), *layers)
