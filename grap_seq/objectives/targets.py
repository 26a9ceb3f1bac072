"""Which event a position predicts: the next one, a random earlier one or a random later one.

The next event alone asks little about the past: a state may forget what it does not help to
predict. A random earlier event makes it keep what a histogram of the history holds, a random later
one what lasts. Both look at a share of the positions, so that they cost a share of the next event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from grap_seq.batch import Batch

# Share of the positions that predict an earlier or a later event.
SHARE = 1 / 8
NEXT = "next"


@dataclass(frozen=True)
class Targets:
    """What P positions predict.

    Attributes:
        positions: flat indices of the positions, shape (P,), rising; None: all N.
        events: flat index of the event that each predicts, shape (P,).
        valid: whether there is such an event, shape (P,), bool.
        timed: whether the time since the event before it is known too, shape (P,), bool.
        most: how many are valid at most, as far as the host knows.
    """

    positions: Tensor | None
    events: Tensor
    valid: Tensor
    timed: Tensor
    most: int


def _next(batch: Batch, positions: Tensor) -> Targets:
    del positions
    events = torch.arange(batch.events, device=batch.gaps.device).roll(-1)
    return Targets(None, events, batch.has_next, batch.has_next, batch.predicted)


def _past(batch: Batch, positions: Tensor) -> Targets:
    """An event up to the position's own, all as likely as each other."""
    starts, _, predicted = _rows(batch, positions)
    events = starts + _uniform(positions - starts + 1)
    # A row's first event has no gap: the one before was cut off.
    timed = predicted & (events > starts)
    return Targets(positions, events, predicted, timed, len(positions))


def _future(batch: Batch, positions: Tensor) -> Targets:
    """An event behind the position's own, all as likely as each other."""
    _, ends, predicted = _rows(batch, positions)
    events = torch.minimum(positions + 1 + _uniform(ends - positions), ends)
    valid = predicted & (positions < ends)
    return Targets(positions, events, valid, valid, len(positions))


def _rows(batch: Batch, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First and last event of the positions' rows, and whether rows predict anything."""
    layout = batch.layout
    rows = layout.row[positions]
    starts, ends = layout.starts[rows], layout.ends[rows]
    # Beside their windows, views predict nothing; a row of one event has nothing to predict.
    return starts, ends, batch.has_next[starts]


def _uniform(sizes: Tensor) -> Tensor:
    """Whole numbers from 0 up to but not including each size."""
    return (torch.rand(sizes.shape, device=sizes.device, dtype=torch.float64) * sizes).long()


FAMILIES: dict[str, Callable[[Batch, Tensor], Targets]] = {
    NEXT: _next,
    "past": _past,
    "future": _future,
}


def draw(batch: Batch, families: Iterable[str]) -> dict[str, Targets]:
    """Targets of every family; those that sample look at the same random positions.

    The same, because inner products of their gradients then cost a share of the positions.
    """
    size = max(1, int(batch.events * SHARE))
    positions = torch.randint(batch.events, (size,), device=batch.gaps.device).sort().values
    return {family: FAMILIES[family](batch, positions) for family in families}


def loss_name(family: str, field: str) -> str:
    """Name of a field's loss: the field itself for the next event, else "past_FIELD"."""
    return field if family == NEXT else f"{family}_{field}"
