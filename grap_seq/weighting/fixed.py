"""Weights that do not learn: all equal, or given numbers such as those of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from grap_seq.weighting.base import Weighting, equal_scale
from grap_seq.weighting.statistics import GradientStatistics


class Equal(Weighting):
    """The plain sum of the losses: the backbone receives sum_k g_k."""

    needs_gram = False

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.weights.requires_grad_(False)

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights


class Fixed(Weighting):
    """Constant weights ("GraP Tuned" of the paper's Table 3 takes a GraP run's medians).

    The composite is rescaled to the norm of the plain sum, as GraP's default is, so that a fixed
    run and a learned one differ in the weights alone.

    Args:
        names: the losses.
        weights: a number >= 0 for each of them.

    Raises:
        ValueError: weights for other losses, negative or not finite ones, or only zeros.
    """

    def __init__(self, names: Sequence[str], weights: Mapping[str, float]) -> None:
        super().__init__(names)
        if set(weights) != set(names):
            raise ValueError(
                f"fixed weights are given for {sorted(weights)}, the losses are {sorted(names)}:"
                " give one weight for each loss"
            )
        values = torch.tensor([float(weights[name]) for name in self.names])
        if not values.isfinite().all() or values.min() < 0 or values.max() == 0:
            raise ValueError(
                f"fixed weights {dict(weights)}: they must be finite, at least 0 and not all 0"
            )
        self.weights.data.copy_(values)
        self.weights.requires_grad_(False)

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights

    def scale(self, coefficients: Tensor, statistics: GradientStatistics) -> Tensor:
        gram = statistics.gram
        coefficients = coefficients.to(gram.dtype)
        return equal_scale(coefficients, torch.ones_like(coefficients), gram)
