"""A table whose methods have all had the same number of trials for their own options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.run_search import run_search
from grap_seq.experiments.search import Found, Search
from grap_seq.experiments.tune import own_search, search_of
from grap_seq.experiments.write import Sheet, Text

NOTE = (
    "Options of each method by a search with the validation score of the first seed, in as many"
    " trials for every method, of which the first had the method as it is. Scores are validation"
    " scores; `runs` is the time of all trials in median ones."
)
# Dataset, encoder and method.
Cell = tuple[str, str, str]


def cell_of(experiment: Experiment) -> Cell:
    """The cell that a run belongs to; what is searched is searched once for all its seeds."""
    return experiment.dataset, experiment.encoder, experiment.method


def searches(
    experiments: Sequence[Experiment], methods: Sequence[str], settings: Any
) -> dict[Cell, Search]:
    """The searches of a table, each with the first seed.

    Args:
        experiments: of the table.
        methods: of the table.
        settings: of `configs/reproduce.yaml`.

    Raises:
        ValueError: a method that has no search, or optuna is missing.
        FileNotFoundError: a dataset is not prepared.
    """
    spaces = {name: own_search(name) for name in methods}
    return {
        cell_of(experiment): search_of(
            experiment,
            spaces[experiment.method],
            None,
            output=Path(settings.output),
            data=Path(settings.data),
            trials=settings.tuned,
            sampler="tpe",
            threads=settings.threads,
        )
        for experiment in experiments
        if experiment.seed == 0
    }


def search_all(known: Mapping[Cell, Search], workers: int) -> dict[Cell, Found]:
    """What the searches find, without those of which all trials have failed."""
    done = {cell: run_search(search, workers) for cell, search in known.items()}
    return {cell: found for cell, found in done.items() if found is not None}


def found_before(known: Mapping[Cell, Search]) -> dict[Cell, Found]:
    """What the searches have found that are done."""
    found = {}
    for cell, search in known.items():
        if search.file.is_file():
            before = Found(**json.loads(search.file.read_text("utf-8")))
            if before.trials + before.failed + before.pruned >= search.trials:
                found[cell] = before
    return found


def with_found(experiments: Sequence[Experiment], found: Mapping[Cell, Found]) -> list[Experiment]:
    """The runs with the options that were found.

    Those of a search whose trials have all failed are the method's as it is, and fail too.
    """
    return [
        replace(one, options=tuple(found[cell_of(one)].options)) if cell_of(one) in found else one
        for one in experiments
    ]


def with_cost(frame: pd.DataFrame, found: Mapping[Cell, Found]) -> pd.DataFrame:
    """Rows of runs with what their search took and found.

    Args:
        frame: of `scores.raw`.
        found: by cell.

    Returns:
        The frame with `search_trials`, `search_failed`, `search_seconds`, `search_runs`,
        `search_validation` and `search_start`, the validation score of the method as it is.
    """
    names = ("trials", "failed", "seconds", "runs", "validation", "start")
    costs = pd.DataFrame(
        [
            {"dataset": cell[0], "encoder": cell[1], "method": cell[2]}
            | {f"search_{name}": getattr(one, name) for name in names}
            for cell, one in found.items()
        ]
    )
    return frame.merge(costs, how="left", on=["dataset", "encoder", "method"])


def tuned_sheet(found: Mapping[Cell, Found]) -> Sheet:
    """What the searches have found, and what they took."""
    rows = []
    for (dataset, encoder, method), one in found.items():
        start = "" if one.start is None else f"{one.start:.4f}"
        texts = [dataset, encoder, METHODS[method].title, " ".join(one.options), start]
        texts += [f"{one.validation:.4f}", f"{one.trials}, {one.failed} failed"]
        rows.append([Text(text) for text in [*texts, f"{one.seconds:.0f}", f"{one.runs:.1f}"]])
    columns = ["dataset", "encoder", "method", "options", "as it is", "best", "trials"]
    return Sheet([*columns, "seconds", "runs"], rows, NOTE)
