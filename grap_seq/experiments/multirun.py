"""`grap-seq pretrain -m`: ordinary runs over all combinations of some settings' values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grap_seq import config as configs
from grap_seq import overrides
from grap_seq.experiments.job import Job
from grap_seq.experiments.plan import check_prepared
from grap_seq.experiments.runs import TRAINED
from grap_seq.experiments.sweep import expand
from grap_seq.experiments.workers import run_grid
from grap_seq.files import file_name
from grap_seq.prepared_settings import with_dataset

# Settings of the grid, in configs/multirun.yaml; every run has the others.
OURS = ("run", "workers", "threads")
SET_HERE = {
    "trainer.threads": "-m has threads=N for all runs",
    "resume": "-m goes on with its runs by itself; leave it out",
    "overwrite": "-m keeps finished runs; delete the folders of those to do again",
}


def multirun(words: Sequence[str]) -> list[Path]:
    """Do the runs, as far as they are not done yet.

    Args:
        words: settings of `pretrain`, of which some have several values, and of
            `configs/multirun.yaml`.

    Returns:
        The run folders.

    Raises:
        FileNotFoundError: a prepared folder does not exist.
        ValueError: a setting that `pretrain` refuses or that the runs set themselves, before any
            run; or some runs have failed, behind all of them.
    """
    given = [overrides.split(word)[0] for word in words]
    for key in given:
        if key in SET_HERE:
            raise ValueError(f"{key}: {SET_HERE[key]}")
    ours = [word for key, word in zip(given, words, strict=True) if key in OURS]
    grid = configs.compose("multirun", ours)
    theirs = [word for key, word in zip(given, words, strict=True) if key not in OURS]
    jobs = list(dict.fromkeys(job(settings, grid.threads) for settings in expand(theirs)))
    for one in jobs:
        check(one)
    root = Path(grid.run)
    found = run_grid(jobs, root, grid.workers)
    failed = sum(one.state == "failed" for one in found.values())
    if failed:
        raise ValueError(f"{failed} of {len(jobs)} runs failed, see above; {root} has the others")
    return [root / one.name / TRAINED for one in jobs]


def job(settings: Sequence[str], threads: int) -> Job:
    """A run, in a folder by the name of its settings."""
    ordered = sorted(settings)
    return Job(
        name=file_name(",".join(ordered)),
        title=" ".join(ordered),
        alike=" ".join(word for word in ordered if not word.startswith("seed=")),
        settings=tuple(settings),
        threads=threads,
    )


def check(one: Job) -> None:
    """Refuse what `pretrain` would refuse, before any run."""
    config = configs.compose("pretrain", with_dataset(one.settings))
    check_prepared(config.dataset.name, Path(config.prepared))
