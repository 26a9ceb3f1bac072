"""One vector per row from the vectors and the states of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from grap_seq.layout import Layout


@dataclass(frozen=True)
class Events:
    """N events in R rows, behind the encoder.

    Attributes:
        vectors: what the encoder read, shape (N, D).
        states: what it made of them, shape (N, H).
        last: what stands for the last state of every row, shape (R, H).
        layout: the rows.
    """

    vectors: Tensor
    states: Tensor
    last: Tensor
    layout: Layout


def _inputs(events: Events) -> Tensor:
    """What a histogram has for free, and a state would have to remember."""
    count = events.layout.lengths.to(events.vectors).log()[:, None]
    reduced = [_reduce(events.vectors, how, events.layout) for how in ("mean", "max")]
    return torch.cat([*reduced, count], dim=1)


def _reduce(values: Tensor, how: str, layout: Layout) -> Tensor:
    reduced: Tensor = torch.segment_reduce(values, how, lengths=layout.lengths, unsafe=True)
    return reduced


PARTS: dict[str, Callable[[Events], Tensor]] = {
    "last": lambda events: events.last,
    "mean": lambda events: _reduce(events.states, "mean", events.layout),
    "max": lambda events: _reduce(events.states, "max", events.layout),
    "inputs": _inputs,
}
POOLINGS = ("last", "mean", "max", "last_mean_max", "last_mean_max_inputs")


def widths(pooling: str, states: int, vectors: int) -> dict[str, int]:
    """Columns of every part of an embedding, in their order.

    Args:
        pooling: one of `POOLINGS`.
        states: H.
        vectors: D.
    """
    return {p: 2 * vectors + 1 if p == "inputs" else states for p in pooling.split("_")}


def pool(events: Events, pooling: str) -> Tensor:
    """Embeddings (R, E), the parts of a pooling side by side.

    "last" is the paper's. "mean" and "max" summarise all states of a row; "inputs" are mean and
    maximum of the event vectors and the logarithm of the number of events, shape (R, 2D + 1).
    """
    return torch.cat([PARTS[part](events) for part in pooling.split("_")], dim=1)
