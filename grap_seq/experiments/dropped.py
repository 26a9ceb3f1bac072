"""Losses that a method drops, and runs without them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.runs import Outcome
from grap_seq.experiments.write import Sheet, Text

# Of the mean of all weights: what a loss that is dropped has less of.
BOUND = 0.1
NOTE = (
    f"Losses whose median weight over a run is below {BOUND:g} of the mean of all losses' medians,"
    " by its median over seeds, which stands behind each. Rows `without` have been trained without"
    " them (objective.without)."
)


def shares(weights: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Weight of every loss by the mean of all losses', as the median over runs.

    Args:
        weights: of each run, by loss; a run whose weights are all zero says nothing.
    """
    runs = [
        {name: value * len(one) / sum(one.values()) for name, value in one.items()}
        for one in weights
        if sum(one.values()) > 0
    ]
    return {name: median(run[name] for run in runs) for name in (runs[0] if runs else {})}


def dropped(weights: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Losses whose share is below `BOUND`, with it."""
    return {name: share for name, share in shares(weights).items() if share < BOUND}


def without(found: Mapping[Experiment, Outcome], methods: Sequence[str]) -> list[Experiment]:
    """The runs of methods that leave out what others drop; none where nothing is dropped.

    Args:
        found: what came of the runs that come first.
        methods: of which some leave losses out.
    """
    planned = []
    for name in methods:
        first = METHODS[name].drops_of
        for experiment in found:
            if first is None or experiment.method != first:
                continue
            cell = (experiment.dataset, experiment.encoder, first)
            weights = [
                one.weights
                for other, one in found.items()
                if (other.dataset, other.encoder, other.method) == cell and one.weights is not None
            ]
            if names := dropped(weights):
                option = f"objective.without={json.dumps([*names])}"
                planned.append(replace(experiment, method=name, options=(option,)))
    return planned


def dropped_sheet(frame: pd.DataFrame, methods: Sequence[str]) -> Sheet | None:
    """What each method drops that others leave out; None where there are no such others.

    Args:
        frame: of `scores.raw`.
        methods: of the table.
    """
    first = {METHODS[name].drops_of for name in methods} - {None}
    done = frame[frame["method"].isin(first) & frame["weights"].notna()]
    rows = []
    for (dataset, encoder, method), part in done.groupby(
        ["dataset", "encoder", "method"], sort=False
    ):
        weights = [json.loads(text) for text in part["weights"]]
        found = sorted(dropped(weights).items(), key=lambda entry: entry[1])
        told = ", ".join(f"{name} ({share:.2g})" for name, share in found) or "none"
        count = f"{len(found)} of {len(weights[0])}"
        texts = (dataset, encoder, METHODS[str(method)].title, count, told)
        rows.append([Text(str(text)) for text in texts])
    columns = ["dataset", "encoder", "method", "dropped", "losses"]
    return Sheet(columns, rows, NOTE) if rows else None
