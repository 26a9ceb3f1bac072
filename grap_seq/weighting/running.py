"""Moving means of what differs from batch to batch, and how sure they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Batches from which on a mean is believed.
ENOUGH = 20


class RunningMean(nn.Module):
    """Moving mean of numbers, and of their squares.

    Args:
        size: how many numbers.
        decay: of the average, once there are 1 / (1 - decay) batches; before, it is the plain mean.
    """

    mean: Tensor  # (K,)
    square: Tensor  # (K,)
    count: Tensor  # (K,) batches so far

    def __init__(self, size: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("count", torch.zeros(size))

    @torch.no_grad()
    def add(self, values: Tensor, known: Tensor) -> None:
        """One more batch.

        Args:
            values: shape (K,).
            known: shape (K,), bool: the others keep what they have.
        """
        # What is not known has no share, and may be no number.
        values = torch.where(known, values.to(self.mean), 0.0)
        self.count += known
        share = known * (1 / self.count.clamp(min=1)).clamp(min=1 - self.decay)
        self.mean.lerp_(values, share)
        self.square.lerp_(values.square(), share)

    @property
    def error(self) -> Tensor:
        """Standard errors of the means, shape (K,), as if batches were independent."""
        # Equivalent number of independent batches in a moving average.
        batches = (1 + self.decay) / (1 - self.decay)
        variance = (self.square - self.mean.square()).clamp(min=0)
        return (variance / self.count.clamp(1, batches)).sqrt()

    def clear(self, errors: float) -> Tensor:
        """Which means are more than so many standard errors from zero, shape (K,), bool."""
        return (self.mean.abs() > errors * self.error) & (self.count >= ENOUGH)
