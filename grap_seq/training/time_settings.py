"""Settings of time that the data decide: the cap of gaps, the unit of the time loss, its noise.

In raw units the time loss is as large as the user's unit is small: it would drown the other losses
where they are added up, and raising the cap would raise it. In units of the mean absolute deviation
of the (capped) gaps the best constant prediction costs 1, as a standardised number does about. The
median gap is no such unit: where most events come in bursts it is thousands of times shorter.
"""

from __future__ import annotations

from typing import Any

from grap_seq.data.gaps import gaps_of
from grap_seq.data.sequences import Sequences
from grap_seq.prep.folder.gaps import doubtful
from grap_seq.settings import AUTO
from grap_seq.terminal import say

# Longer gaps count as this quantile of those above zero.
CAP = 0.99


def with_times(config: Any, train: Sequences) -> tuple[Any, dict[str, float]]:
    """A copy of a config whose settings of time are numbers, and facts about them for model.json.

    `auto` is for `max_time_gap` the quantile `CAP` of the gaps above zero, for `time_scale` their
    mean absolute deviation below that cap, for `time_jitter` the resolution of the times.

    Args:
        config: of `pretrain`.
        train: the training split.

    Returns:
        The config; and `median`, the median gap above zero, and `clipped`, the share of all gaps
        that are longer than the cap.
    """
    config, gaps = config.copy(), gaps_of(train)
    dataset, unit = config.dataset, train.schema.time_unit
    if dataset.max_time_gap == AUTO:
        dataset.max_time_gap = _rounded(gaps.quantile(CAP))
    if dataset.time_scale == AUTO:
        dataset.time_scale = _rounded(gaps.deviation(dataset.max_time_gap))
    if dataset.time_jitter == AUTO:
        dataset.time_jitter = _rounded(gaps.resolution)
    clipped, cap = gaps.beyond(dataset.max_time_gap), dataset.max_time_gap
    lines = [
        f"Time between events: median {gaps.typical:.3g} {unit}s where it is not zero; the"
        f" {clipped:.1%} above {cap:.3g} {unit}s count as that (dataset.max_time_gap)."
    ]
    if gaps.typical > cap:
        lines.append(
            f"Warning: more than half of them are cut at dataset.max_time_gap={cap:g}; give a"
            " larger one, or auto."
        )
    if (doubt := doubtful(gaps.typical, unit)) is not None:
        lines.append(f"Warning: {doubt}.")
    say(*lines)
    return config, {"median": _rounded(gaps.typical), "clipped": _rounded(clipped)}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
