"""A slow copy of backbone and projector, whose keys are what the others learn to predict."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn


def rate(step: int, total: int, base: float = 0.99, final: float = 1.0) -> float:
    """tau = final - (final - base) (1 + cos(pi step / total)) / 2: from base to final.

    Args:
        step: updates made before this one; from `total` on tau stays final.
        total: updates of the training.
    """
    assert step >= 0, step
    share = min(step / total, 1.0)
    return final - (final - base) * (1 + math.cos(math.pi * share)) / 2


class Momentum(nn.Module):
    """Moving averages of the parameters of a backbone and a projector.

    Its batch norms have running statistics of their own: nothing but parameters is averaged.

    Args:
        backbone: images (B, C, S, S) to features (B, D).
        projector: features to projections (B, P).
        base, final: of `rate`.
    """

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, base: float = 0.99, final: float = 1.0
    ) -> None:
        super().__init__()
        # In a tuple: the state of the originals is not part of this module's.
        self._originals = (backbone, projector)
        self.backbone, self.projector = deepcopy(backbone), deepcopy(projector)
        self.requires_grad_(False)
        self.base, self.final = base, final

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Keys (B, P), L2-normalised, of images (B, C, S, S)."""
        return F.normalize(self.projector(self.backbone(images)), dim=1)

    def update(self, step: int, total: int) -> None:
        """After an update of the originals: p <- tau p + (1 - tau) original; see `rate`."""
        tau = rate(step, total, self.base, self.final)
        # torch declares it without types.
        average = get_ema_multi_avg_fn(tau)  # type: ignore[no-untyped-call]
        originals = [p for part in self._originals for p in part.parameters()]
        average(list(self.parameters()), originals, None)
