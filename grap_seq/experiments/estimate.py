"""How long the runs that are left should take: from finished ones, or from epochs of begun ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import mean

import pandas as pd

from grap_seq import config as configs
from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import TRAINED, Outcome


@dataclass(frozen=True)
class Expected:
    """What runs should take.

    Args:
        runs: seconds of a run that is left, and what they come from; None: nobody knows.
    """

    runs: Mapping[Job, tuple[float, str] | None]

    def text(self, workers: int) -> str:
        """How long so many processes need for what is left."""
        known = [found[0] for found in self.runs.values() if found is not None]
        unknown = len(self.runs) - len(known)
        # They cannot share a run.
        workers = max(1, min(workers, len(self.runs)))
        parts = [f"{as_time(sum(known) / workers)} left"] if known or not unknown else []
        return ", ".join([*parts, *([f"{unknown} of unknown length left"] if unknown else [])])


def as_time(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def expected(known: Mapping[Job, Outcome | None], root: Path) -> Expected:
    """What is left of a grid.

    A run is expected to take as long as the finished ones that are alike, or else what the first
    epochs of one that is under way say of all its epochs, without its evaluation.

    Args:
        known: every run, and what has come of it so far.
        root: folder of all runs.
    """
    finished: dict[str, list[float]] = {}
    for job, found in known.items():
        if found is not None and found.seconds is not None:
            finished.setdefault(job.alike, []).append(found.seconds)
    begun: dict[str, tuple[float, str]] = {}
    for job, found in known.items():
        if found is not None and found.state == "begun" and job.alike not in finished:
            measured = of_epochs(root / job.name / TRAINED)
            if measured is not None:
                begun[job.alike] = measured
    runs: dict[Job, tuple[float, str] | None] = {}
    for job, found in known.items():
        if found is None or found.state == "begun":
            times = finished.get(job.alike)
            runs[job] = (mean(times), f"{len(times)} finished") if times else begun.get(job.alike)
    return Expected(runs)


def of_epochs(run: Path) -> tuple[float, str] | None:
    """Seconds that a run should train for by its first epochs, and how many steps those had.

    None: it has no epoch yet.
    """
    metrics = run / "metrics.csv"
    if not metrics.is_file():
        return None
    done, epochs = pd.read_csv(metrics), configs.load(run / "config.yaml")["epochs"]
    if done.empty:
        return None
    return float(done["seconds"].mean() * epochs), f"{done['step'].iloc[-1]} steps of a begun one"
