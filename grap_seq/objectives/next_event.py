"""Next-event losses, one per field: position i predicts event i + 1.

Protocol: cross-entropy for categories; absolute error for numbers; absolute error of the clipped
time gap, jittered by uniform noise. Means over all valid pairs, so long sequences weigh more; or
over rows, each by the mean over its own pairs.

A number whose meaning depends on a category (`by`, such as a laboratory value and its parameter)
is predicted given that category of the next event: without it the target is a mixture over
parameters, and the loss teaches the encoder little about any of them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.batch import Batch
from grap_seq.nn.event_embedding import EXTREME
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum
from grap_seq.objectives.means import Mean, mean
from grap_seq.schema import Field

IGNORED = -100
Over = Literal["events", "sequences"]


def shares(valid: Tensor, batch: Batch, over: Over) -> tuple[Tensor, Tensor]:
    """Weight of every target in a mean, shape (N,), and what they add up to, shape ().

    Args:
        valid: events that have a target, shape (N,).
        batch: their batch.
        over: "events", of which each counts one; or "sequences": each row counts one, which its
            targets share.
    """
    if over == "events":
        return valid.float(), valid.sum()
    row = batch.layout.row
    targets = valid.new_zeros(len(batch), dtype=torch.float32).index_add_(0, row, valid.float())
    return valid / targets[row].clamp(min=1), (targets > 0).sum()


def following(values: Tensor) -> Tensor:
    """Value of the event after each one, shape (N,); meaningless behind a row's last event."""
    return values.roll(-1)


class CategoryHead(nn.Module):
    """Second layer and cross-entropy of a categorical field."""

    def __init__(self, field: Field, width: int, over: Over = "events") -> None:
        super().__init__()
        assert field.size is not None
        self.name, self.over = field.name, over
        self.output = nn.Linear(width, field.size)

    def forward(self, hidden: Tensor, batch: Batch) -> Mean:
        """Loss, shape (), from hidden pre-activations (N, M), and the number of its targets."""
        target = torch.where(batch.has_next, following(batch.fields[self.name]), IGNORED)
        weights, count = shares(batch.has_next, batch, self.over)
        given = None if self.over == "events" else weights
        return mean(cross_entropy_sum(F.relu(hidden), self.output, target, IGNORED, given), count)


class NumberHead(nn.Module):
    """Second layer and absolute error of a numerical field; missing values have no target."""

    def __init__(
        self,
        field: Field,
        width: int,
        condition_size: int | None = None,
        over: Over = "events",
    ) -> None:
        super().__init__()
        self.over = over
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
        valid = batch.has_next & ~target.isnan()
        return absolute_error(prediction, target, *shares(valid, batch, self.over))


class TimeHead(nn.Module):
    """Second layer and absolute error of the time to the next event.

    Args:
        width: M, hidden width.
        max_gap: gaps are clipped to this, in the schema's time unit.
        jitter: width of the uniform noise added to the target; 1 unit suits integer days.
        scale: the gap that counts as one in the loss, so that it compares with other losses.
        over: what the loss is a mean over.
    """

    def __init__(
        self,
        width: int,
        max_gap: float,
        jitter: float,
        scale: float = 1.0,
        over: Over = "events",
    ) -> None:
        super().__init__()
        self.max_gap, self.jitter, self.scale, self.over = max_gap, jitter, scale, over
        self.output = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, batch: Batch) -> Mean:
        """Loss, shape (), from hidden pre-activations (N, M), and the number of its targets."""
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = following(batch.gaps).clamp(0, self.max_gap)
        if self.training:
            target = (target + (torch.rand_like(target) - 0.5) * self.jitter).abs()
        weights, count = shares(batch.has_next, batch, self.over)
        return absolute_error(prediction, target / self.scale, weights, count)


def absolute_error(prediction: Tensor, target: Tensor, weights: Tensor, count: Tensor) -> Mean:
    """Mean of |prediction - target| by the `shares` of the targets; zero if there is none."""
    # An infinite prediction where there is no target is none's fault.
    error = torch.where(weights > 0, (prediction - target.nan_to_num(0.0)).abs(), 0.0)
    return mean((error * weights).sum(), count)
