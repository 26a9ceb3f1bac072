"""The learning rate over a run, as a factor of `lr`: counted in optimiser steps.

Warm-up is linear. Behind it the rate falls by a factor every few epochs, as in the published runs,
or along half a cosine to zero at the last step (Loshchilov and Hutter, "SGDR", 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class Schedule:
    """Factor of the learning rate at every step; by default it is constant.

    Attributes:
        kind: "step" or "cosine".
        warmup: first steps, in which the rate rises to its full value.
        total: steps of the whole run, at the end of which the cosine is zero.
        every: steps between two decays of "step".
        gamma: factor of each of them.
    """

    kind: Literal["step", "cosine"] = "step"
    warmup: int = 0
    total: int = 1
    every: int = 1
    gamma: float = 1.0

    @classmethod
    def from_config(cls, config: Any, steps: int) -> Schedule:
        """The schedule of a run whose epochs have so many steps."""
        total = config.epochs * steps
        return cls(
            config.schedule,
            warmup=round(config.warmup * total),
            total=total,
            every=config.lr_step * steps,
            gamma=config.lr_gamma,
        )

    def factor(self, step: int) -> float:
        """The factor of a step, counted from 0."""
        ramp = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.kind == "step":
            return float(ramp * self.gamma ** (step // self.every))
        done = max(0, step - self.warmup) / max(1, self.total - self.warmup)
        return ramp * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def of(self, optimizer: Optimizer, follows: Sequence[bool]) -> dict[str, Any]:
        """What Lightning is to do after every step.

        Args:
            optimizer: the run's optimiser.
            follows: for each of its groups whether its rate follows the schedule or stays.
        """
        factors: list[Any] = [self.factor if follow else _constant for follow in follows]
        return {"scheduler": LambdaLR(optimizer, factors), "interval": "step"}


def _constant(step: int) -> float:
    del step
    return 1.0
