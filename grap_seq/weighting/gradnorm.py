"""GradNorm: losses that learn slowly get larger gradients.

Source: Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
Networks" (2018), Algorithm 1, with the embedding in the place of the last shared layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.statistics import GradientStatistics


class GradNorm(Weighting):
    """Gradient descent on sum_k |w_k n_k - mean(w n) r_k^alpha|, n_k = |g_k|, one step a batch.

    r_k is the relative inverse training rate: L_k / L_k(first batch), divided by its mean over the
    losses; the mean of w n is a constant to the gradient. After each step w is projected onto
    w >= 0 and brought back to mean 1.

    Args:
        names: the K losses.
        alpha: how strongly slow losses are favoured; 0 makes all gradients equally long.

    Raises:
        ValueError: a negative alpha.
    """

    learned = True
    needs_losses = True
    initial: Tensor  # (K,)

    def __init__(self, names: Sequence[str], *, alpha: float = 1.5) -> None:
        super().__init__(names)
        if alpha < 0:
            raise ValueError(f"alpha={alpha}: it must be at least 0")
        self.alpha = alpha
        self.register_buffer("initial", torch.full((len(self.names),), torch.nan))

    def prepare(self) -> None:
        self.normalize_weights()

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights

    @torch.no_grad()
    def update(self, statistics: GradientStatistics) -> Tensor | None:
        losses, norms = statistics.losses, statistics.norms
        self.initial.copy_(torch.where(self.initial.isnan(), losses.to(self.initial), self.initial))
        initial = self.initial.to(losses)
        # A loss that begins at zero, or below, has no rate: it counts as average.
        rates = torch.where(initial > 0, losses.clamp(min=0) / initial, torch.nan)
        present = statistics.present
        rates = rates / torch.where(present, rates, torch.nan).nanmean()
        rates = rates.nan_to_num(nan=1.0, posinf=1.0)
        weighted = self.weights.to(norms) * norms
        mean = torch.where(present, weighted, 0.0).sum() / present.sum().clamp(min=1)
        target = mean * rates**self.alpha
        return torch.sign(weighted - target) * norms
