"""Equal weights: the baseline of every comparison."""

from __future__ import annotations

from torch import Tensor

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.statistics import GradientStatistics


class Equal(Weighting):
    """The plain sum of the losses: the backbone receives sum_k g_k."""

    needs_gram = False

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights
