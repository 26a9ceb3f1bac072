"""Event embedding and encoder together: what pretraining trains and everything else uses."""

from __future__ import annotations

from collections.abc import Sequence

from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.nn.pooling import POOLINGS, pool


class SequenceModel(nn.Module):
    """Rectangles of fields to rectangles of hidden states.

    Args:
        embedding: maps a batch of fields to event vectors.
        encoder: maps one rectangle of event vectors (B, T, D) to states (B, T, H), causally; any
            pytorch-lifestream sequence encoder that returns all states fits.
        pooling: how states become one embedding per sequence, see `grap_seq.nn.pooling`.

    Raises:
        ValueError: an unknown pooling.
    """

    def __init__(
        self, embedding: nn.Module, encoder: nn.Module, pooling: str = "last_mean_max"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling}: choose one of {', '.join(POOLINGS)}")
        self.embedding, self.encoder, self.pooling = embedding, encoder, pooling
        # H, under the name that pytorch-lifestream's encoders give it.
        self.output_size = int(encoder.embedding_size)  # type: ignore[arg-type]

    def forward(self, groups: Sequence[PaddedBatch]) -> list[PaddedBatch]:
        """States of every event, payload (B, T, H) for each rectangle."""
        return [self.encoder(vectors) for vectors in self.embedding(groups)]

    def embed(self, group: PaddedBatch) -> Tensor:
        """Embeddings of a rectangle's rows, shape (B, E)."""
        (states,) = self([group])
        return pool(states, self.pooling)
