"""Event embedding and encoder together: what pretraining trains and everything else uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.data.sequences import TIME
from grap_seq.nn.pooling import POOLINGS, pool


class SequenceModel(nn.Module):
    """Rectangles of fields to rectangles of hidden states.

    Args:
        embedding: maps a batch of fields to event vectors.
        encoder: maps one rectangle of event vectors (B, T, D) to states (B, T, H), causally; any
            pytorch-lifestream sequence encoder that returns all states fits. One that says
            `needs_times` is also given the times (B, T), and its `summarise` says what stands for
            the last state in embeddings.
        pooling: how states become one embedding per sequence, see `grap_seq.nn.pooling`.

    Raises:
        ValueError: an unknown pooling.
    """

    # A module; Any, because `summarise` and `step` are optional methods of it.
    encoder: Any

    def __init__(
        self, embedding: nn.Module, encoder: nn.Module, pooling: str = "last_mean_max"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling}: choose one of {', '.join(POOLINGS)}")
        self.embedding, self.encoder, self.pooling = embedding, encoder, pooling
        # H, under the name that pytorch-lifestream's encoders give it.
        self.output_size = int(self.encoder.embedding_size)
        self.timed = bool(getattr(encoder, "needs_times", False))

    @property
    def embedding_size(self) -> int:
        """E, numbers in an embedding."""
        return len(POOLINGS[self.pooling]) * self.output_size

    def forward(self, groups: Sequence[PaddedBatch]) -> list[PaddedBatch]:
        """States of every event, payload (B, T, H) for each rectangle."""
        vectors = self.embedding(groups)
        if not self.timed:
            return [self.encoder(rectangle) for rectangle in vectors]
        pairs = zip(vectors, groups, strict=True)
        return [self.encoder(rectangle, group.payload[TIME]) for rectangle, group in pairs]

    def embed(self, groups: Sequence[PaddedBatch]) -> Tensor:
        """Embeddings of the rows of all rectangles, shape (rows, E)."""
        # All at once: batch norm takes its statistics from the whole batch.
        vectors = self.embedding(groups)
        pairs = zip(vectors, groups, strict=True)
        return torch.cat([self._embed(rectangle, group) for rectangle, group in pairs])

    def _embed(self, vectors: PaddedBatch, group: PaddedBatch) -> Tensor:
        """Embeddings (B, E) of a rectangle of event vectors (B, T, D)."""
        if not self.timed:
            return pool(self.encoder(vectors), self.pooling)
        states, last = self.encoder.summarise(vectors, group.payload[TIME])
        return pool(states, self.pooling, last)
