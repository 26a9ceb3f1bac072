"""What one pass knows: from the views of one embedding to the gradients that come back.

The node that makes the views makes such an object and keeps it until its backward pass. Two forward
passes before a backward pass therefore have two of them, and neither sees the other's losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from grap_seq.weighting.statistics import GradientStatistics


@dataclass(eq=False)
class PassState:
    """One forward pass through a node and its backward pass.

    Attributes:
        computes_gram: whether the backward pass forms C and p: for the method, or to be watched.
        losses: values given to `total`, shape () each, by name.
        loss_scale: what the total was multiplied by before `backward`, shape ().
        statistics: C, p and the losses, where the backward pass has formed them.
        effective: factor of each loss's gradient on its way to the backbone, shape (K,).
    """

    computes_gram: bool
    losses: dict[str, Tensor] = field(default_factory=dict)
    loss_scale: Tensor = field(default_factory=lambda: torch.ones(()))
    statistics: GradientStatistics | None = None
    effective: Tensor | None = None

    def values(self, names: Sequence[str], like: Tensor) -> Tensor:
        """Values of the named losses, shape (len(names),), NaN where there is none."""
        missing = torch.full((), torch.nan, dtype=like.dtype, device=like.device)
        return torch.stack([self.losses.get(name, missing).to(missing) for name in names])
