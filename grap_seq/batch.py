"""A batch: every field once, as one flat list of the events of all rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from grap_seq.layout import Layout


@dataclass(frozen=True)
class Batch:
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
        has_next: whether an event of its row follows that is to be predicted, shape (N,), bool.
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
    has_next: Tensor
    labels: Tensor
    label_events: Tensor | None = None
    until: Tensor | None = None

    def __len__(self) -> int:
        return len(self.layout)

    @property
    def events(self) -> int:
        """N."""
        return self.layout.events

    def to(self, device: Any, non_blocking: bool = False) -> Batch:
        """The same batch on a device."""
        return self._mapped(lambda item: item.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU can read by itself."""
        return self._mapped(lambda item: item.pin_memory())

    def _mapped(self, change: Callable[[Any], Any]) -> Batch:
        changed: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                changed[field.name] = {name: change(item) for name, item in value.items()}
            elif value is not None:
                changed[field.name] = change(value)
        return Batch(**changed)
