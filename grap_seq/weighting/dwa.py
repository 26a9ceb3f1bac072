"""Dynamic weight averaging: losses that fell little in the last epoch weigh more.

Source: Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention" (2019), equation 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.collective import whole_batch
from grap_seq.weighting.statistics import GradientStatistics


class DWA(Weighting):
    """w = K softmax(r / T), r_k = L_k(t-1) / L_k(t-2), with mean losses of whole epochs.

    Equal weights until two epochs have passed. `start_epoch` says where epochs begin; calling it
    every step gives the noisy variant that compares single batches.

    Args:
        names: the K losses.
        temperature: T; the larger, the more equal the weights.

    Raises:
        ValueError: a temperature that is not positive.
    """

    needs_gram = False
    needs_losses = True
    equal_epochs = 2
    sums: Tensor  # (K,) of the current epoch
    counts: Tensor  # (K,)
    previous: Tensor  # (K,) mean of the last finished epoch, NaN where there is none

    def __init__(self, names: Sequence[str], *, temperature: float = 2.0) -> None:
        super().__init__(names)
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: it must be positive")
        self.temperature = temperature
        size = len(self.names)
        self.register_buffer("sums", torch.zeros(size))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("previous", torch.full((size,), torch.nan))

    @torch.no_grad()
    def record(self, losses: Mapping[str, Tensor]) -> None:
        # Averaged over processes at once: whatever is saved or broadcast is then the same in all.
        missing = torch.full_like(self.sums[0], torch.nan)
        values = torch.stack([losses.get(name, missing).to(missing) for name in self.names])
        _, values = whole_batch(values.new_empty(0, 0), values)
        # One diverged batch must not decide over an epoch.
        self.sums += values.nan_to_num(0.0, 0.0, 0.0)
        self.counts += values.isfinite()

    @torch.no_grad()
    def start_epoch(self) -> None:
        """Weights of the epoch that begins, from the two before it.

        Raises:
            ValueError: an epoch has passed and `total` was never called.
        """
        if not self.counts.any():
            if self.steps and self.previous.isnan().all():
                raise self.losses_unknown()
            return
        means = self.sums / self.counts  # NaN for a loss that no batch had
        ratios = means / self.previous
        ratios = torch.where(ratios.isfinite(), ratios, 1.0)
        self.weights.copy_(len(means) * torch.softmax(ratios / self.temperature, dim=0))
        self.previous.copy_(torch.where(means.isnan(), self.previous, means))
        self.sums.zero_()
        self.counts.zero_()

    def coefficients(self, statistics: GradientStatistics | None) -> Tensor:
        del statistics
        return self.weights
