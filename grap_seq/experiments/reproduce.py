"""`grap-seq reproduce`: a table from its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from grap_seq.experiments.cost import cost_sheet, costs
from grap_seq.experiments.difference_sheet import difference_sheet
from grap_seq.experiments.dropped import dropped_sheet, without
from grap_seq.experiments.estimate import as_time, expected
from grap_seq.experiments.images import check_images, on_disk
from grap_seq.experiments.job import Job
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.pictures import pictures
from grap_seq.experiments.plan import (
    Experiment,
    check_prepared,
    check_settings,
    flat,
    plan,
    with_bases,
)
from grap_seq.experiments.runs import Outcome, came_of
from grap_seq.experiments.score_sheet import (
    IMAGE_NOTE,
    NOTE,
    numbers,
    score_sheet,
    weight_sheet,
)
from grap_seq.experiments.scores import cells, raw
from grap_seq.experiments.search import Found
from grap_seq.experiments.share_sheet import share_sheet
from grap_seq.experiments.tables import IMAGES, REFERENCES, TABLES
from grap_seq.experiments.tuned import (
    Cell,
    found_before,
    search_all,
    searches,
    tuned_sheet,
    with_cost,
    with_found,
)
from grap_seq.experiments.workers import run_grid
from grap_seq.experiments.write import write
from grap_seq.files import atomic_write
from grap_seq.settings import AUTO

TITLES = {
    "1": "Table 1: methods",
    "2": "Table 2: without the contrastive loss",
    "3": "Table 3: images",
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
    experiments, methods = planned(settings), methods_of(settings)
    datasets = list(dict.fromkeys(experiment.dataset for experiment in experiments))
    if table == IMAGES:
        check_images(datasets, data)
    else:
        for dataset in datasets:
            check_prepared(dataset, data / dataset)
    found: dict[Cell, Found] = {}
    if settings.tuned:
        found = search_all(searches(experiments, methods, settings), settings.workers)
    asked = _done(with_found(experiments, found), settings)
    asked |= _done(without(asked, methods), settings)
    if all(one.state == "failed" for one in asked.values()):
        raise ValueError("every run has failed, see above; mend the cause, delete their folders")
    frame = with_cost(raw(asked), found) if found else raw(asked)
    name = f"table_{table}{'_tuned' if settings.tuned else ''}"
    path = output / f"{name}_runs.parquet"
    with atomic_write(path) as temporary:
        frame.to_parquet(temporary, index=False)
    if table == "7":
        found_costs = costs(frame)
        sheets, values = [cost_sheet(found_costs)], found_costs
    else:
        scored = cells(frame, table)
        more = [difference_sheet(frame, REFERENCES.get(table, "equal"))]
        if table in WEIGHED:
            more.append(weight_sheet(frame, WEIGHED[table]))
            more.append(share_sheet(frame, WEIGHED[table], output / "runs"))
        more += [dropped_sheet(frame, methods), tuned_sheet(found) if found else None]
        note = IMAGE_NOTE if table == IMAGES else NOTE
        sheets, values = [score_sheet(scored, note), *filter(None, more)], numbers(scored)
    drawn = pictures(frame, table, output / "runs")
    return [*write(output, name, TITLES[table], command, sheets, values, drawn), path]


def _done(experiments: Sequence[Experiment], settings: Any) -> dict[Experiment, Outcome]:
    """What comes of runs."""
    if not experiments:
        return {}
    done = run_grid(jobs(experiments, settings), Path(settings.output) / "runs", settings.workers)
    data = Path(settings.data)
    return {one: done[one.job(data, settings.threads)] for one in experiments}


def methods_of(settings: Any) -> list[str]:
    """The methods that a table compares, or those of them that are asked for."""
    names = TABLES[str(settings.table)]
    return [name for name in names if settings.methods is None or name in settings.methods]


def planned(settings: Any) -> list[Experiment]:
    """The runs that settings ask for, which `pretrain` would take."""
    if settings.folds == AUTO:
        raise ValueError("folds=auto: give 0 or a number of folds, the same for all methods")
    if settings.folds and settings.tuned:
        raise ValueError(
            "tuned= searches by the validation split, which folds do not keep apart: use folds=0"
        )
    images = str(settings.table) == IMAGES
    if images and (settings.folds or settings.tuned):
        raise ValueError("table=3 is of images, which have neither folds= nor tuned=: leave it out")
    datasets = on_disk(Path(settings.data)) if images else ["flights"]
    experiments = plan(
        str(settings.table),
        datasets if settings.datasets is None else list(settings.datasets),
        _encoders(settings, images),
        None if settings.methods is None else list(settings.methods),
        settings.seeds,
        settings.budget,
        flat(settings["with"]),
        settings.folds,
    )
    check_settings(experiments)
    return experiments


def jobs(experiments: Sequence[Experiment], settings: Any) -> list[Job]:
    """What is to be done, each run behind the one that it fine-tunes."""
    data, threads = Path(settings.data), settings.threads
    return [experiment.job(data, threads) for experiment in with_bases(experiments)]


def listed(settings: Any) -> Table:
    """The runs of a table, their state, and how long those that are left should take.

    Of trials, and of runs without what others drop, it says no more than that there are some.
    """
    runs, experiments = Path(settings.output) / "runs", planned(settings)
    methods, later = methods_of(settings), ""
    if settings.tuned:
        known_searches = searches(experiments, methods, settings)
        found = found_before(known_searches)
        experiments = with_found(experiments, found)
        left_out = len(known_searches) - len(found)
        later += f"; before them {left_out} searches of {settings.tuned} trials"
    if any(METHODS[name].drops_of for name in methods):
        later += "; behind them those without the losses that are dropped"
    known = {job: came_of(job, runs) for job in jobs(experiments, settings)}
    left = expected(known, runs)
    table = Table("run", "state", "time", "measured on", "folder")
    for job, one in known.items():
        seconds, source = left.runs.get(job) or (None if one is None else one.seconds, "")
        state = "to do" if one is None else one.state
        table.add_row(
            job.title, state, "" if seconds is None else as_time(seconds), source, job.name
        )
    table.caption = f"{left.text(settings.workers)} with {settings.workers} at work{later}"
    return table


def _encoders(settings: Any, images: bool) -> list[str]:
    if settings.encoders is not None:
        return list(settings.encoders)
    return [] if images else ["gru"]
