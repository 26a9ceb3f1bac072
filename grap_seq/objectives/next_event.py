"""Losses of a target event, one per field; protocol: position i predicts event i + 1.

Cross-entropy for categories; absolute error for numbers; for the clipped time gap the absolute
error, jittered by uniform noise, or the cross-entropy of bins. Means over all valid pairs, so long
sequences weigh more. Which event is the target is the matter of `grap_seq.objectives.targets`.

A number whose meaning depends on a category (`by`, such as a laboratory value and its parameter)
is predicted given that category of the target event: without it the target is a mixture over
parameters, and the loss teaches the encoder little about any of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.batch import Batch
from grap_seq.nn.event_embedding import EXTREME
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum
from grap_seq.objectives.means import Sum
from grap_seq.objectives.targets import Targets
from grap_seq.schema import Field

IGNORED = -100


class CategoryHead(nn.Module):
    """Second layer and cross-entropy of a categorical field."""

    def __init__(self, field: Field, width: int) -> None:
        super().__init__()
        assert field.size is not None
        self.name = field.name
        self.output = nn.Linear(width, field.size)

    def forward(self, hidden: Tensor, batch: Batch, targets: Targets) -> Sum:
        """Sum of the loss over its targets, from hidden pre-activations (P, M)."""
        values = batch.fields[self.name][targets.events]
        return cross_entropy(hidden, self.output, values, targets.valid, targets.most)


class NumberHead(nn.Module):
    """Second layer and absolute error of a numerical field; missing values have no target."""

    def __init__(self, field: Field, width: int, condition_size: int | None = None) -> None:
        super().__init__()
        self.name, self.by = field.name, field.by if condition_size else None
        self.output = nn.Linear(width, 1)
        self.condition = nn.Embedding(condition_size, width) if condition_size else None

    def forward(self, hidden: Tensor, batch: Batch, targets: Targets) -> Sum:
        """Sum of the loss over its targets, from hidden pre-activations (P, M)."""
        if self.condition is not None:
            assert self.by is not None
            hidden = hidden + self.condition(batch.fields[self.by][targets.events])
        prediction = self.output(F.relu(hidden)).squeeze(1)
        values = batch.fields[self.name][targets.events].clamp(-EXTREME, EXTREME)
        return absolute_error(prediction, values, targets.valid & ~values.isnan())


class TimeHead(nn.Module):
    """Second layer and absolute error of the time before the target event.

    Args:
        width: M, hidden width.
        max_gap: gaps are clipped to this, in the schema's time unit.
        jitter: width of the uniform noise added to the target; 1 unit suits integer days.
        scale: the gap that counts as one in the loss, so that it compares with other losses.
    """

    def __init__(self, width: int, max_gap: float, jitter: float, scale: float = 1.0) -> None:
        super().__init__()
        self.max_gap, self.jitter, self.scale = max_gap, jitter, scale
        self.output = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, batch: Batch, targets: Targets) -> Sum:
        """Sum of the loss over its targets, from hidden pre-activations (P, M)."""
        prediction = self.output(F.relu(hidden)).squeeze(1)
        target = batch.gaps[targets.events].clamp(0, self.max_gap)
        if self.training:
            target = (target + (torch.rand_like(target) - 0.5) * self.jitter).abs()
        return absolute_error(prediction, target / self.scale, targets.timed)


class TimeBins(nn.Module):
    """Second layer and cross-entropy of the time before the target event, in bins.

    A distribution: unlike one number it tells "soon or much later" from "in a while", as a bursty
    sequence needs it.

    Args:
        width: M, hidden width.
        edges: upper edges of all bins but the last, rising, in the schema's time unit.
    """

    edges: Tensor  # (bins - 1,)

    def __init__(self, width: int, edges: list[float]) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor(edges), persistent=False)
        self.output = nn.Linear(width, len(edges) + 1)

    def forward(self, hidden: Tensor, batch: Batch, targets: Targets) -> Sum:
        """Sum of the loss over its targets, from hidden pre-activations (P, M)."""
        bins = torch.bucketize(batch.gaps[targets.events], self.edges)
        return cross_entropy(hidden, self.output, bins, targets.timed, targets.most)


def cross_entropy(
    hidden: Tensor, output: nn.Linear, values: Tensor, valid: Tensor, most: int
) -> Sum:
    """Cross-entropy of valid entries, of which there are `most` at most."""
    target = torch.where(valid, values, IGNORED)
    return Sum(cross_entropy_sum(F.relu(hidden), output, target, IGNORED, most), valid.sum())


def absolute_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Sum:
    """|prediction - target| of valid entries."""
    error = torch.where(valid, (prediction - target.nan_to_num(0.0)).abs(), 0.0)
    return Sum(error.sum(), valid.sum())
