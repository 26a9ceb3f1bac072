"""One vector per row from the columns and the states of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from grap_seq.layout import Layout

# Of a variance: the root of zero has no gradient.
SMALLEST = 1e-8


@dataclass(frozen=True)
class Events:
    """N events in R rows, behind the encoder.

    Attributes:
        columns: their fields in numbers, before the encoder, shape (N, C).
        states: what it made of them, shape (N, H).
        last: what stands for the last state of every row, shape (R, H).
        layout: the rows.
    """

    columns: Tensor
    states: Tensor
    last: Tensor
    layout: Layout


def _inputs(events: Events) -> Tensor:
    """What a histogram has for free, and a state would have to remember."""
    columns, layout = events.columns, events.layout
    mean = _reduce(columns, "mean", layout)
    variance = _reduce((columns - mean[layout.row]).square(), "mean", layout)
    return summary(
        mean,
        variance,
        _reduce(columns, "max", layout),
        _reduce(columns, "min", layout),
        layout.lengths[:, None],
    )


def summary(
    mean: Tensor, variance: Tensor, largest: Tensor, smallest: Tensor, count: Tensor
) -> Tensor:
    """The part "inputs" from statistics (R, C) of the columns and numbers of events (R, 1)."""
    deviation = variance.clamp(min=SMALLEST).sqrt()
    return torch.cat([mean, deviation, largest, smallest, count.to(mean).log()], dim=1)


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


def widths(pooling: str, states: int, columns: int) -> dict[str, int]:
    """Columns of every part of an embedding, in their order.

    Args:
        pooling: one of `POOLINGS`.
        states: H.
        columns: C.
    """
    return {p: 4 * columns + 1 if p == "inputs" else states for p in pooling.split("_")}


def pool(events: Events, pooling: str) -> Tensor:
    """Embeddings (R, E), the parts of a pooling side by side.

    "last" is the paper's. "mean" and "max" summarise all states of a row; "inputs" are mean,
    deviation, maximum and minimum of the columns and the logarithm of the number of events, shape
    (R, 4C + 1).
    """
    return torch.cat([PARTS[part](events) for part in pooling.split("_")], dim=1)
