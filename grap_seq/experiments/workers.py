"""Processes that work on one grid: here, and on other machines that see the folder."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.runs import Outcome, do, outcome
from grap_seq.terminal import progress

# Seconds between two looks at what others have done.
PAUSE = 1.0


def work(
    experiments: Sequence[Experiment],
    root: Path,
    data: Path,
    threads: int,
    tell: Callable[[Experiment], None] | None = None,
) -> None:
    """Do all runs that nobody else does, and wait for those that others do.

    Args:
        experiments: each behind the run that it starts from.
        root: folder of all runs.
        data: folder of prepared folders.
        threads: of a run.
        tell: called before each.
    """
    left = list(experiments)
    while left:
        waiting = []
        for experiment in left:
            if tell is not None:
                tell(experiment)
            base = experiment.base
            if (base is not None and not ended(root, base)) or do(
                experiment, root, data, threads
            ) is None:
                waiting.append(experiment)
        if len(waiting) == len(left):
            time.sleep(PAUSE)
        left = waiting


def ended(root: Path, experiment: Experiment) -> bool:
    """Whether a run is done or has failed."""
    found = outcome(root / experiment.name)
    return found is not None and found.state != "begun"


@contextmanager
def beside(count: int, target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """So many processes that call `target` with the number of each, 1..., behind the arguments.

    They are waited for at the end, or ended with an error of this one.
    """
    # No daemons: those may have no children, and loaders with workers do.
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=target, args=(*arguments, number)) for number in range(1, count + 1)
    ]
    for process in processes:
        process.start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()


def run_grid(
    experiments: Sequence[Experiment], root: Path, data: Path, *, workers: int, threads: int
) -> dict[Experiment, Outcome]:
    """What came of every run, those that were done before among them.

    Args:
        experiments: each behind the run that it starts from.
        root: folder of all runs.
        data: folder of prepared folders.
        workers: processes; others that are given the same folder share the work.
        threads: of a run.
    """
    root.mkdir(parents=True, exist_ok=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    grid = (experiments, root, data, threads)
    with beside(workers - 1, _help, *grid), progress(*columns) as shown:
        task = shown.add_task("runs", total=len(experiments))

        def tell(experiment: Experiment) -> None:
            done = sum(ended(root, one) for one in experiments)
            shown.update(task, description=experiment.title, completed=done)

        work(*grid, tell)
        shown.update(task, description="runs", completed=len(experiments))
    found = {experiment: outcome(root / experiment.name) for experiment in experiments}
    return {experiment: one for experiment, one in found.items() if one is not None}


def _help(
    experiments: Sequence[Experiment], root: Path, data: Path, threads: int, number: int
) -> None:
    del number
    work(experiments, root, data, threads)
