"""Event embedding and encoder together: what pretraining trains and everything else uses."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.nn.encoder import Encoded
from grap_seq.nn.pooling import POOLINGS, Events, pool, widths


class SequenceModel(nn.Module):
    """A batch of fields to hidden states.

    Args:
        embedding: maps a batch to event vectors (N, D); its `width` is D.
        encoder: one of `grap_seq.nn`, which reads the flat list of events, or any encoder of
            pytorch-lifestream that returns all states: it is called with `PaddedBatch`es of event
            vectors (B, T, D), and with the times (B, T) if it says `needs_times`.
        pooling: how states become one embedding per sequence, see `grap_seq.nn.pooling`.

    Raises:
        ValueError: an unknown pooling.
    """

    # Modules; Any, because of `width`, and because `encode`, `summarise` and `step` are optional.
    embedding: Any
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
        self.flat = hasattr(encoder, "encode")

    @property
    def embedding_size(self) -> int:
        """E, numbers in an embedding."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """Columns of every part of an embedding, in their order."""
        return widths(self.pooling, self.output_size, self.embedding.width)

    def forward(self, batch: Batch) -> Encoded:
        """States of every event."""
        vectors = self.embedding(batch)
        if not self.flat:
            return Encoded(self._by_rectangle(vectors, batch), batch.layout.ends)
        encoded: Encoded = self.encoder.encode(vectors, batch.layout, batch.times)
        return encoded

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings of the rows, shape (R, E)."""
        vectors = self.embedding(batch)
        if self.flat:
            states, last = self.encoder.summarise(vectors, batch.layout, batch.times)
        else:
            states = self._by_rectangle(vectors, batch)
            last = states[batch.layout.ends]
        return pool(Events(vectors, states, last, batch.layout), self.pooling)

    def _by_rectangle(self, vectors: Tensor, batch: Batch) -> Tensor:
        """States (N, H) of an encoder that reads rectangles."""
        timed = bool(getattr(self.encoder, "needs_times", False))
        parts = []
        for events, times in batch.layout.by_rectangle(vectors, batch.times):
            output = self.encoder(events, times.payload) if timed else self.encoder(events)
            parts.append(output.payload)
        return batch.layout.flatten(parts)
