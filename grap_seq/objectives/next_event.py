"""Next-event losses, one per field: position i predicts event i + 1.

Protocol: cross-entropy for categories; absolute error for numbers; absolute error of the clipped
time gap, jittered by uniform noise. Means over all valid pairs, so long sequences weigh more.

A number whose meaning depends on a category (`by`, such as a laboratory value and its parameter)
is predicted given that category of the next event: without it the target is a mixture over
parameters, and the loss teaches the encoder little about any of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.batch import Batch
from grap_seq.nn.event_embedding import EXTREME
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum
from grap_seq.objectives.means import Mean, mean
from grap_seq.schema import Field

IGNORED = -100


def following(values: Tensor) -> Tensor:
    """Value of the event after each one, shape (N,); meaningless behind a row's last event."""
    return values.roll(-1)


class CategoryHead(nn.Module):
    """Second layer and cross-entropy of a categorical field."""

    def __init__(self, field: Field, width: int) -> None:
        super().__init__()
        assert field.size is not None
        self.name = field.name
        self.output = nn.Linear(width, field.size)

    def forward(self, hidden: Tensor, batch: Batch) -> Mean:
        """Loss, shape (), from hidden pre-activations (N, M), and the number of its targets."""
        target = torch.where(batch.has_next, following(batch.fields[self.name]), IGNORED)
        total = cross_entropy_sum(F.relu(hidden), self.output, target, IGNORED)
        return mean(total, batch.has_next.sum())


class NumberHead(nn.Module):
    """Second layer and absolute error of a numerical field; missing values have no target."""

    def __init__(self, field: Field, width: int, condition_size: int | None = None) -> None:
        super().__init__()
        self.name, self.by = field.name, field.by if condition_size else None
        self.output = nn.Linear(width, 1)
        self.condition = nn.Embedding(condition_size, width) if condition_size else None

    def forward(self, hidden: Tensor, batch: Batch) -> Mean:
        """Loss, shape (), from hidden pre-activations (N, M), and the number of its targets."""
        if self.condition is not None:
            assert self.by is not None
            hidden = hidden + self.condition(following(batch.fields[self.by]))
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = following(batch.fields[self.name]).clamp(-EXTREME, EXTREME)
        return absolute_error(prediction, target, batch.has_next & ~target.isnan())


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

    def forward(self, hidden: Tensor, batch: Batch) -> Mean:
        """Loss, shape (), from hidden pre-activations (N, M), and the number of its targets."""
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = following(batch.gaps).clamp(0, self.max_gap)
        if self.training:
            target = (target + (torch.rand_like(target) - 0.5) * self.jitter).abs()
        return absolute_error(prediction, target, batch.has_next)


def absolute_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Mean:
    """Mean of |prediction - target| over valid entries, zero if there is none, and their number."""
    error = torch.where(valid, (prediction - target.nan_to_num(0.0)).abs(), 0.0)
    return mean(error.sum(), valid.sum())
