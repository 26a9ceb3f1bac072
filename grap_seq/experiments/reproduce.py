"""`grap-seq reproduce`: a table from its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from grap_seq.experiments.cost import cost_sheet, costs
from grap_seq.experiments.estimate import as_time, expected
from grap_seq.experiments.job import Job
from grap_seq.experiments.pictures import pictures
from grap_seq.experiments.plan import (
    Experiment,
    check_prepared,
    check_settings,
    flat,
    plan,
    with_bases,
)
from grap_seq.experiments.runs import outcome
from grap_seq.experiments.score_sheet import numbers, score_sheet, weight_sheet
from grap_seq.experiments.scores import cells, raw
from grap_seq.experiments.workers import run_grid
from grap_seq.experiments.write import write
from grap_seq.files import atomic_write

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
    for dataset in dict.fromkeys(experiment.dataset for experiment in experiments):
        check_prepared(dataset, data / dataset)
    found = run_grid(jobs(experiments, settings), output / "runs", settings.workers)
    asked = {one: found[one.job(data, settings.threads)] for one in experiments}
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


def jobs(experiments: Sequence[Experiment], settings: Any) -> list[Job]:
    """What is to be done, each run behind the one that it fine-tunes."""
    data, threads = Path(settings.data), settings.threads
    return [experiment.job(data, threads) for experiment in with_bases(experiments)]


def listed(settings: Any) -> Table:
    """The runs of a table, their state, and how long those that are left should take."""
    runs = Path(settings.output) / "runs"
    known = {job: outcome(runs / job.name) for job in jobs(planned(settings), settings)}
    left = expected(known, runs)
    table = Table("run", "state", "time", "measured on", "folder")
    for job, found in known.items():
        seconds, source = left.runs.get(job) or (None if found is None else found.seconds, "")
        state = "to do" if found is None else found.state
        table.add_row(
            job.title, state, "" if seconds is None else as_time(seconds), source, job.name
        )
    table.caption = f"{left.text(settings.workers)} with {settings.workers} at work"
    return table
