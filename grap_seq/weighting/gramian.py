"""What methods share whose coefficients follow from this batch's Gram matrix."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from grap_seq.block import sent
from grap_seq.weighting.base import Weighting
from grap_seq.weighting.statistics import GradientStatistics


class GramianWeighting(Weighting):
    """Coefficients from C alone; `weights` shows those of the last batch.

    The K x K algebra runs on the CPU in float64, for which the host waits for C once a step. Losses
    absent from a batch are left out of C: their zero gradient would be the shortest of all.
    """

    @abstractmethod
    def solve(self, gram: Tensor) -> Tensor:
        """Coefficients, shape (P,), from the Gram matrix of the present losses, shape (P, P)."""

    @property
    def needs_gram_first(self) -> bool:
        return True

    @torch.no_grad()
    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        assert statistics is not None
        gram = statistics.gram.cpu()
        if not gram.isfinite().all():
            # Whatever the coefficients, the composite will not be finite: it stays visible.
            return self.weights
        present = gram.diagonal() > 0
        solved = torch.zeros(len(gram), dtype=self.weights.dtype)
        if present.any():
            solved[present] = self.solve(gram[present][:, present].double()).to(solved)
        self.weights.copy_(sent(solved, self.weights.device))
        return self.weights
