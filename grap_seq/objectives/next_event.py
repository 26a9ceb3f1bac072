"""Next-event losses, one per field: position i predicts event i + 1.

Protocol: cross-entropy for categories; absolute error for numbers; absolute error of the clipped
time gap, jittered by uniform noise. Means over all valid pairs, so long sequences weigh more.

A number whose meaning depends on a category (`by`, such as a laboratory value and its parameter)
is predicted given that category of the next event: without it the target is a mixture over
parameters, and the loss teaches the encoder little about any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.nn.positions import flatten, last_positions, lengths, time_gaps
from grap_seq.objectives.means import mean
from grap_seq.schema import Field

IGNORED = -100


@dataclass(frozen=True)
class NextEvents:
    """Targets of a batch, aligned with the flat list of events.

    Attributes:
        groups: the batch.
        has_next: whether an event of the same row follows, shape (N,), boolean.
    """

    groups: Sequence[PaddedBatch]
    has_next: Tensor

    @classmethod
    def of(cls, groups: Sequence[PaddedBatch], rows: Tensor | None = None) -> NextEvents:
        """Targets of the rows for which `rows`, shape (R,), is true; None: of all."""
        counts = lengths(groups)
        chosen = torch.ones_like(counts, dtype=torch.bool) if rows is None else rows
        has_next = torch.repeat_interleave(chosen, counts)
        has_next[last_positions(groups)] = False
        return cls(groups, has_next)

    def shifted(self, values: Tensor) -> Tensor:
        """Value of the following event, shape (N,); meaningless where `has_next` is false."""
        return values.roll(-1)


class CategoryHead(nn.Module):
    """Second layer and cross-entropy of a categorical field."""

    def __init__(self, field: Field, width: int) -> None:
        super().__init__()
        assert field.size is not None
        self.name = field.name
        self.output = nn.Linear(width, field.size)

    def forward(self, hidden: Tensor, events: NextEvents) -> Tensor:
        """Loss, shape (), from hidden pre-activations (N, M)."""
        target = events.shifted(flatten(events.groups, self.name))
        target = torch.where(events.has_next, target, IGNORED)
        logits = self.output(F.relu(hidden))
        total = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum")
        return mean(total, events.has_next.sum())


class NumberHead(nn.Module):
    """Second layer and absolute error of a numerical field; missing values have no target."""

    def __init__(self, field: Field, width: int, condition_size: int | None = None) -> None:
        super().__init__()
        self.name, self.by = field.name, field.by if condition_size else None
        self.output = nn.Linear(width, 1)
        self.condition = nn.Embedding(condition_size, width) if condition_size else None

    def forward(self, hidden: Tensor, events: NextEvents) -> Tensor:
        """Loss, shape (), from hidden pre-activations (N, M)."""
        if self.condition is not None:
            hidden = hidden + self.condition(events.shifted(flatten(events.groups, self.by)))
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = events.shifted(flatten(events.groups, self.name))
        return absolute_error(prediction, target, events.has_next & ~target.isnan())


class TimeHead(nn.Module):
    """Second layer and absolute error of the time to the next event.

    Args:
        width: M, hidden width.
        max_gap: gaps are clipped to this, in the schema's time unit.
        jitter: width of the uniform noise added to the target; 1 unit suits integer days.
    """

    def __init__(self, width: int, max_gap: float, jitter: float) -> None:
        super().__init__()
        self.max_gap, self.jitter = max_gap, jitter
        self.output = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, events: NextEvents) -> Tensor:
        """Loss, shape (), from hidden pre-activations (N, M)."""
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = events.shifted(time_gaps(events.groups)).clamp(0, self.max_gap)
        if self.training:
            target = (target + (torch.rand_like(target) - 0.5) * self.jitter).abs()
        return absolute_error(prediction, target, events.has_next)


def absolute_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean of |prediction - target| over valid entries, zero if there is none; shape ()."""
    error = torch.where(valid, (prediction - target.nan_to_num(0.0)).abs(), 0.0)
    return mean(error.sum(), valid.sum())
