"""What the toolkit's own encoders have in common: they read the flat list of events.

Inside a training step nothing is padded. Towards pytorch-lifestream they are ordinary sequence
encoders: `forward` takes a `PaddedBatch`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.layout import Layout, take


@dataclass(frozen=True)
class Encoded:
    """States of N events, and of S tokens that stand between or behind them.

    Attributes:
        states: of every event, shape (N, H).
        ends: where each row's last state stands among all N + S, shape (R,).
        extra: states of the tokens, shape (S, H); None: there are none.
        extra_row: row of each token, shape (S,).
    """

    states: Tensor
    ends: Tensor
    extra: Tensor | None = None
    extra_row: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """States of events, then of tokens, shape (N + S, H)."""
        return self.states if self.extra is None else torch.cat([self.states, self.extra])


class Encoder(nn.Module):
    """Event vectors to states, causal.

    Attributes:
        embedding_size: H, width of the states.
        needs_times: whether it looks at the times.
        reads_rectangles: whether it pads rows on its way.
    """

    embedding_size: int
    needs_times = False
    reads_rectangles = True

    @abstractmethod
    def encode(self, vectors: Tensor, layout: Layout, times: Tensor) -> Encoded:
        """States that losses see.

        Args:
            vectors: event vectors, shape (N, D).
            layout: their rows.
            times: their times, shape (N,), float64.
        """

    def summarise(self, vectors: Tensor, layout: Layout, times: Tensor) -> tuple[Tensor, Tensor]:
        """States (N, H), and what stands for each row's last one in an embedding, (R, H)."""
        states = self.encode(vectors, layout, times).states
        return states, states[layout.ends]

    def compile_parts(self, **options: Any) -> None:
        """Compile what has one shape but for the number of events; options of `torch.compile`."""

    def forward(self, batch: PaddedBatch, times: Tensor | None = None) -> PaddedBatch:
        """Payload (B, T, D) to (B, T, H), zero behind a row's end.

        Args:
            batch: event vectors.
            times: shape (B, T), for encoders that need them.
        """
        layout, cells = rows_of(batch)
        width = batch.payload.shape[1]
        moments = torch.zeros(batch.payload.shape[:2]) if times is None else times
        states = self.encode(
            take(batch.payload.flatten(0, 1), cells), layout, moments.flatten()[cells]
        ).states
        padded = states.new_zeros(len(layout) * width, states.shape[1])
        padded = padded.index_copy(0, cells, states)
        return PaddedBatch(padded.view(len(layout), width, -1), batch.seq_lens)


def rows_of(batch: PaddedBatch) -> tuple[Layout, Tensor]:
    """The rows of a rectangle, and the cells of their events in it, shape (N,)."""
    layout = Layout(batch.seq_lens.tolist()).to(batch.seq_lens.device)
    return layout, layout.row * batch.payload.shape[1] + layout.position
