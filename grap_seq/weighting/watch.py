"""What a weighting tells whoever watches it: a row of numbers for every logged step, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grap_seq.weighting.statistics import GradientStatistics

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting

DECAY = 0.99
# Equivalent number of independent batches in a moving average.
BATCHES = (1 + DECAY) / (1 - DECAY)
# Batches from which on a mean is believed.
ENOUGH = 20
# Share of an equal weight under which a loss counts as switched off.
NEAR_ZERO = 0.05
# Losses in a summary: of more, those whose weights have moved farthest.
SHOWN = 40


class RunningCosines(nn.Module):
    """Moving mean of every loss's cosine with the downstream gradient, and of its square."""

    mean: Tensor  # (K,)
    square: Tensor  # (K,)
    count: Tensor  # (K,) batches so far

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("count", torch.zeros(size))

    @torch.no_grad()
    def add(self, statistics: GradientStatistics) -> None:
        """One more batch; absent losses and batches without labels keep what they have."""
        cosines = statistics.cosines.to(self.mean)
        known = statistics.present & (statistics.downstream_norm > 0)
        self.count += known
        # The plain mean of the first batches, then a moving one.
        share = (1 / self.count.clamp(min=1)).clamp(min=1 - DECAY)
        for running, value in ((self.mean, cosines), (self.square, cosines.square())):
            moved = torch.lerp(running, value, share)
            running.copy_(torch.where(known, moved, running))

    def clear(self) -> list[bool]:
        """Which means are more than four standard errors from zero."""
        variance = (self.square - self.mean.square()).clamp(min=0)
        error = (variance / self.count.clamp(1, BATCHES)).sqrt()
        clear: list[bool] = ((self.mean.abs() > 4 * error) & (self.count >= ENOUGH)).tolist()
        return clear


@torch.no_grad()
def log(weighting: Weighting) -> dict[str, float]:
    """See `Weighting.log`."""
    weighting.prepare()
    record = {f"loss/{name}": loss for name, loss in weighting.losses.items()}
    statistics, effective = weighting.statistics, weighting.effective
    columns = {"weight": weighting.weights}
    columns |= {} if effective is None else {"effective": effective}
    if statistics is not None:
        columns |= {"cosine": statistics.cosines, "norm": statistics.norms}
    for column, values in columns.items():
        for name, value in zip(weighting.names, values.unbind(), strict=True):
            record[f"{column}/{name}"] = value
    if statistics is not None and effective is not None:
        c, b = effective.to(statistics.gram.dtype), weighting.downstream
        # |sum_k c_k g_k + b d|^2
        square = c @ statistics.gram @ c + 2 * b * (c @ statistics.alignment)
        square += (b * statistics.downstream_norm).square()
        record["composite_norm"] = square.clamp(min=0).sqrt()
    # All at once: a device is waited for once.
    values = torch.stack([value.to(weighting.weights.device).double() for value in record.values()])
    return dict(zip(record, values.tolist(), strict=True))


def summary(weighting: Weighting) -> str:
    """See `Weighting.summary`."""
    weights = weighting.named_weights()
    equal = sum(weights.values()) / len(weights)
    cosines = zip(weighting.cosines.mean.tolist(), weighting.cosines.clear(), strict=True)
    moved = sorted(weights, key=lambda name: -abs(weights[name] - equal))
    shown, lines = {*moved[:SHOWN]}, []
    for (name, weight), (cosine, clear) in zip(weights.items(), cosines, strict=True):
        if name not in shown:
            continue
        size = " (near zero)" if weight < NEAR_ZERO * equal else ""
        verdict = "helps the task" if cosine > 0 else "conflicts with the task"
        if not clear:
            verdict = "cannot be told from neutral"
        lines.append(f"{name}: weight {weight:.2f}{size}, {verdict} (mean cosine {cosine:+.3f})")
    if not weighting.cosines.count.any():
        return "No batch with labels has been weighed yet."
    if len(moved) > SHOWN:
        lines.append(f"and {len(moved) - SHOWN:,} more losses, of weights closer to {equal:.2f}")
    return "\n".join(lines)
