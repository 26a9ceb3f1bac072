"""Event embedding and encoder together: what pretraining trains and everything else uses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.nn.encoder import Encoded, Encoder
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.pooling import POOLINGS, Events, pool, widths
from grap_seq.nn.recency import RECENCY, recency


class SequenceModel(nn.Module):
    """A batch of fields to hidden states.

    Args:
        embedding: maps a batch to event vectors (N, D).
        encoder: one of `grap_seq.nn`, which reads the flat list of events, or any encoder of
            pytorch-lifestream that returns all states: it is called with `PaddedBatch`es of event
            vectors (B, T, D), and with the times (B, T) if it says `needs_times`.
        pooling: how states become one embedding per sequence, see `grap_seq.nn.pooling`.
        recency: typical gap between events, in the data's time unit; the embedding then also says
            how long ago the last event was, see `grap_seq.nn.recency`. None: it does not.

    Raises:
        ValueError: an unknown pooling.
    """

    # A module; Any, because `encode`, `summarise` and `step` are optional methods of it.
    encoder: Any

    def __init__(
        self,
        embedding: EventEmbedding,
        encoder: nn.Module,
        pooling: str = "last_mean_max",
        recency: float | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling}: choose one of {', '.join(POOLINGS)}")
        self.embedding, self.encoder, self.pooling = embedding, encoder, pooling
        self.recency = recency
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
        parts = widths(self.pooling, self.output_size, self.embedding.inputs)
        return parts if self.recency is None else {**parts, "recency": RECENCY}

    def compile_parts(self, **options: Any) -> None:
        """Of an encoder of the toolkit's, parts are compiled; any other one is as a whole."""
        own = isinstance(self.encoder, Encoder)
        (self.encoder.compile_parts if own else self.encoder.compile)(**options)

    def cells(self, batch: Batch) -> int:
        """Cells that hold a batch's events in the encoder, the padding of rectangles included."""
        if not getattr(self.encoder, "reads_rectangles", True):
            return batch.events
        return batch.layout.rectangles.size

    def forward(self, batch: Batch) -> Encoded:
        """States of every event."""
        vectors = self.embedding(batch)
        if not self.flat:
            return Encoded(self._by_rectangle(vectors, batch), batch.layout.ends)
        encoded: Encoded = self.encoder.encode(vectors, batch.layout, batch.times)
        return encoded

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings of the rows, shape (R, E)."""
        columns = self.embedding.columns(batch)
        vectors = self.embedding.block(columns)
        if self.flat:
            states, last = self.encoder.summarise(vectors, batch.layout, batch.times)
        else:
            states = self._by_rectangle(vectors, batch)
            last = states[batch.layout.ends]
        pooled = pool(Events(columns, states, last, batch.layout), self.pooling)
        first, latest = batch.times[batch.layout.starts], batch.times[batch.layout.ends]
        return self.with_recency(pooled, first, latest, batch.layout.lengths, batch.until)

    def with_recency(
        self, pooled: Tensor, first: Tensor, latest: Tensor, events: Tensor, until: Tensor | None
    ) -> Tensor:
        """The pooled parts (R, ...), with the columns of `recency` where the model has them.

        Raises:
            ValueError: nobody says up to when the rows were observed.
        """
        if self.recency is None:
            return pooled
        if until is None:
            raise ValueError(
                "this model's embeddings say how long ago the last event was, and the batch does "
                "not say up to when its rows were observed: prepare the data with `until`"
            )
        columns = recency(first, latest, events, until, self.recency)
        return torch.cat([pooled, columns.to(pooled.dtype)], dim=1)

    def _by_rectangle(self, vectors: Tensor, batch: Batch) -> Tensor:
        """States (N, H) of an encoder that reads rectangles."""
        timed = bool(getattr(self.encoder, "needs_times", False))
        parts = []
        for events, times in batch.layout.by_rectangle(vectors, batch.times):
            output = self.encoder(events, times.payload) if timed else self.encoder(events)
            parts.append(output.payload)
        return batch.layout.flatten(parts)
