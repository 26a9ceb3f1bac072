"""Processes that work on one grid: here, and on other machines that see the folder."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from grap_seq.experiments.estimate import as_time, expected
from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import LOG, Outcome, came_of, do
from grap_seq.terminal import progress, say

# Seconds between two looks at what others have done.
PAUSE = 1.0


def work(jobs: Sequence[Job], root: Path, tell: Callable[[Job], None] | None = None) -> None:
    """Do all runs that nobody else does, and wait for those that others do.

    Args:
        jobs: each behind the run that it starts from.
        root: folder of all runs.
        tell: called before each and after it.
    """
    left = [job for job in jobs if not ended(root, job)]
    while left:
        waiting = []
        for job in left:
            if tell is not None:
                tell(job)
            if (job.base is not None and not ended(root, job.base)) or do(job, root) is None:
                waiting.append(job)
            elif tell is not None:
                tell(job)
        if len(waiting) == len(left):
            time.sleep(PAUSE)
        left = waiting


def ended(root: Path, job: Job) -> bool:
    """Whether a run is done or has failed."""
    found = came_of(job, root)
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


def run_grid(jobs: Sequence[Job], root: Path, workers: int) -> dict[Job, Outcome]:
    """What came of every run, those that were done before among them; failed ones are listed.

    Args:
        jobs: each behind the run that it starts from.
        root: folder of all runs.
        workers: processes; others that are given the same folder share the work.

    Raises:
        OSError: the disk is full.
    """
    root.mkdir(parents=True, exist_ok=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with beside(workers - 1, _help, jobs, root), progress(*columns) as shown:
        task = shown.add_task("runs", total=len(jobs), left="")

        def tell(job: Job) -> None:
            known = {one: came_of(one, root) for one in jobs}
            left = expected(known, root).text(workers)
            done = sum(one is not None and one.state != "begun" for one in known.values())
            shown.update(task, description=job.title, completed=done, left=left)
            mine = known[job]
            if mine is not None and mine.state != "begun":
                took = "" if mine.seconds is None else f" after {as_time(mine.seconds)}"
                say(f"{done} of {len(jobs)}: {job.title}, {mine.state}{took}; {left}.")

        work(jobs, root, tell)
    found = {job: one for job in jobs if (one := came_of(job, root)) is not None}
    for job, one in found.items():
        if one.state == "failed":
            folder = root / job.name
            again = f"see {folder / LOG}, and delete {folder} to try again"
            say(f"{job.title} failed: {one.error} ({again})")
    return found


def _help(jobs: Sequence[Job], root: Path, number: int) -> None:
    del number
    work(jobs, root)
