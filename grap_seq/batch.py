"""A batch: every field once, as one flat list of the events of all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grap_seq.block import Movable, joined, split
from grap_seq.layout import Layout, Lengths


@dataclass(frozen=True)
class Batch(Movable):
    """N events in R rows, each row a crop of a sequence.

    Attributes:
        layout: where rows begin and end.
        fields: values of every field, shape (N,): int64 codes, or float32 with NaN where missing;
            static ones are repeated.
        times: time of every event, shape (N,), float64.
        gaps: time since the event before in the same row, zero for a row's first, shape (N,),
            float32.
        owners: which sequence of the batch a row is from, shape (R,).
        views: rows that are no windows beside their views, shape (V,), rising.
        view_owners: the sequences that these are from, shape (V,), where the host can read them
            without waiting for a device; of a batch that several processes have parts of, those of
            every process's views, in the order of ranks.
        has_next: whether an event of its row follows that is to be predicted, shape (N,), bool.
        predicted: of how many events that is true.
        labels: code of each row's label (see `schema.Label`), shape (R,); of each label where rows
            have several, shape (L,).
        label_events: where rows have several labels, the flat position of each one's event, shape
            (L,), rising; else None.
        until: up to when each row was observed, shape (R,), float64; None where nobody knows.
    """

    layout: Layout
    fields: dict[str, Tensor]
    times: Tensor
    gaps: Tensor
    owners: Tensor
    views: Tensor
    view_owners: tuple[Lengths, ...]
    has_next: Tensor
    predicted: int
    labels: Tensor
    label_events: Tensor | None = None
    until: Tensor | None = None

    def __len__(self) -> int:
        return len(self.layout)

    @property
    def events(self) -> int:
        """N."""
        return self.layout.events

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed = vars(self).copy()
        for name, value in changed.items():
            if isinstance(value, dict):
                changed[name] = {key: change(item) for key, item in value.items()}
            elif isinstance(value, Movable):
                changed[name] = value.mapped(change)
            elif isinstance(value, Tensor):
                changed[name] = change(value)
        return Batch(**changed)

    def __getstate__(self) -> tuple[Tensor, dict[str, Any]]:
        # On its way from a loader's worker a batch is one piece of shared memory, not dozens.
        shapes = self.mapped(lambda tensor: torch.empty_like(tensor, device="meta"))
        return joined(self.tensors()), vars(shapes)

    def __setstate__(self, state: tuple[Tensor, dict[str, Any]]) -> None:
        block, shapes = state
        vars(self).update(shapes)
        views = split(block, self.tensors())
        vars(self).update(vars(self.mapped(lambda shape: next(views))))
