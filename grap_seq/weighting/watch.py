"""What a weighting tells whoever watches it: a row of numbers for every logged step, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grap_seq.weighting.running import RunningMean
from grap_seq.weighting.statistics import GradientStatistics

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting

DECAY = 0.99
# Standard errors from zero of a mean cosine that is told from neutral.
CLEAR = 4
# Share of an equal weight under which a loss counts as switched off.
NEAR_ZERO = 0.05
# Losses in a summary: of more, those whose weights have moved farthest.
SHOWN = 40


class RunningCosines(RunningMean):
    """Moving mean of every loss's cosine with the downstream gradient."""

    def __init__(self, size: int) -> None:
        super().__init__(size, DECAY)

    def see(self, statistics: GradientStatistics) -> None:
        """One more batch; absent losses and batches without labels keep what they have."""
        self.add(statistics.cosines, statistics.present & statistics.labelled)


@torch.no_grad()
def log(weighting: Weighting) -> dict[str, float]:
    """See `Weighting.log`."""
    weighting.prepare()
    record = {f"loss/{name}": loss for name, loss in weighting.losses.items()}
    statistics, effective = weighting.statistics, weighting.effective
    columns = {"weight": weighting.in_use}
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
    cosines = zip(*(of.tolist() for of in weighting.mean_cosines(CLEAR)), strict=True)
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
