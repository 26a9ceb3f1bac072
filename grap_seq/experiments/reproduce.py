"""`grap-seq reproduce`: a table from its runs."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from grap_seq.experiments.cost import cost_sheet, costs
from grap_seq.experiments.pictures import pictures
from grap_seq.experiments.plan import (
    Experiment,
    check_prepared,
    check_settings,
    flat,
    plan,
    with_bases,
)
from grap_seq.experiments.runs import LOG, Outcome, outcome
from grap_seq.experiments.score_sheet import numbers, score_sheet, weight_sheet
from grap_seq.experiments.scores import cells, raw
from grap_seq.experiments.workers import run_grid
from grap_seq.experiments.write import write
from grap_seq.files import atomic_write
from grap_seq.terminal import say

TITLES = {
    "1": "Table 1: methods",
    "2": "Table 2: without the contrastive loss",
    "4": "Table 4: shares of the labels that the weights learn from",
    "5": "Table 5: normalization of the weights",
    "6": "Table 6: labels in training",
    "7": "Table 7: cost",
    "redundancy": "Losses of pure noise",
    "scale": "CoLES on another scale",
}
# Beginnings of the names of losses whose weights stand beside the scores.
WEIGHED = {"redundancy": "noise", "scale": "coles"}


def reproduce(settings: Any, command: str) -> list[Path]:
    """Do the runs of a table, and write it.

    Args:
        settings: of `configs/reproduce.yaml`.
        command: what it was called with, for the top of the table.

    Returns:
        What was written: pictures, the table three times, and the scores of every run.

    Raises:
        FileNotFoundError: a dataset is not prepared.
        ValueError: a method that the table does not compare, or every run has failed.
    """
    table, output, data = str(settings.table), Path(settings.output), Path(settings.data)
    experiments = planned(settings)
    check_prepared((experiment.dataset for experiment in experiments), data)
    found = run_grid(
        with_bases(experiments),
        output / "runs",
        data,
        workers=settings.workers,
        threads=settings.threads,
    )
    _say_failures(found, output / "runs")
    asked = {experiment: found[experiment] for experiment in experiments}
    if all(one.state == "failed" for one in asked.values()):
        raise ValueError("every run has failed, see above; mend the cause, delete their folders")
    frame = raw(asked)
    path = output / f"table_{table}_runs.parquet"
    with atomic_write(path) as temporary:
        frame.to_parquet(temporary, index=False)
    if table == "7":
        found_costs = costs(frame)
        sheets, values = [cost_sheet(found_costs)], found_costs
    else:
        scored = cells(frame, table)
        weights = weight_sheet(frame, WEIGHED[table]) if table in WEIGHED else None
        sheets, values = [score_sheet(scored), *filter(None, [weights])], numbers(scored)
    drawn = pictures(frame, table, output / "runs")
    return [*write(output, f"table_{table}", TITLES[table], command, sheets, values, drawn), path]


def planned(settings: Any) -> list[Experiment]:
    """The runs that settings ask for, which `pretrain` would take."""
    experiments = plan(
        str(settings.table),
        list(settings.datasets),
        list(settings.encoders),
        None if settings.methods is None else list(settings.methods),
        settings.seeds,
        settings.budget,
        flat(settings["with"]),
    )
    check_settings(experiments)
    return experiments


def listed(settings: Any) -> Table:
    """The runs of a table, their state, and how long those that are left should take.

    A run's time is the mean of finished ones of its dataset and encoder.
    """
    runs = Path(settings.output) / "runs"
    experiments = with_bases(planned(settings))
    states = {experiment: outcome(runs / experiment.name) for experiment in experiments}
    times: dict[tuple[str, str], list[float]] = {}
    for experiment, found in states.items():
        if found is not None and found.seconds is not None:
            times.setdefault((experiment.dataset, experiment.encoder), []).append(found.seconds)
    table = Table("run", "state", "seconds", "folder")
    left, unknown = 0.0, 0
    for experiment, found in states.items():
        known = times.get((experiment.dataset, experiment.encoder))
        expected = mean(known) if known else None
        if found is None or found.state == "begun":
            left, unknown = left + (expected or 0.0), unknown + (expected is None)
        shown = "" if expected is None else f"{expected:.0f}"
        state = "to do" if found is None else found.state
        table.add_row(experiment.title, state, shown, experiment.name)
    rest = f", and {unknown} of unknown length" if unknown else ""
    workers = max(1, settings.workers)
    table.caption = f"{left / workers / 3600:.1f} h left with {workers} at work{rest}"
    return table


def _say_failures(found: dict[Experiment, Outcome], runs: Path) -> None:
    for experiment, one in found.items():
        if one.state == "failed":
            folder = runs / experiment.name
            again = f"see {folder / LOG}, and delete {folder} to try again"
            say(f"{experiment.title} failed: {one.error} ({again})")
