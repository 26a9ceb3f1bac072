"""LightGBM over the parts of a plan, with several seeds.

The fits are independent and small: they run side by side with a share of the threads each, which
is faster than one after the other and gives the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from rich import get_console
from rich.progress import track

from grap_seq.evaluation.boosting import BoostingSettings, Features, fit_predict
from grap_seq.evaluation.plan import Part, Rows
from grap_seq.evaluation.scores import Labels, Predictions
from grap_seq.schema import Label

Seeded = npt.NDArray[np.float64]  # (seeds, rows, label.outputs)
Job = Callable[[int], Predictions]


@dataclass(frozen=True)
class Classifier:
    """What all fits of an evaluation share.

    Attributes:
        labels: (N,) codes of the label of all labelled sequences.
        label: What is predicted.
        settings: LightGBM's parameters.
        seed: The first seed; every part has seeds of its own.
        seeds: Fits of every part, whose probabilities are averaged.
        threads: CPU threads of all fits together; None: one per core.
    """

    labels: Labels
    label: Label
    settings: BoostingSettings
    seed: int = 0
    seeds: int = 1
    threads: int | None = None

    def predictions(
        self, features: Features, parts: Sequence[Part], what: str, first: int = 0
    ) -> list[Seeded]:
        """Predictions (seeds, predicted rows, label.outputs) of every part.

        Args:
            features: (N, columns).
            parts: What is fitted and predicted.
            what: Name of the features for the progress bar.
            first: Number of the first part in its plan, on which its seeds depend.
        """
        jobs = [
            self.job(features, part.fit, part.predicted, self.seed + self.seeds * number + more)
            for number, part in enumerate(parts, first)
            for more in range(self.seeds)
        ]
        done = self.run(jobs, what)
        starts = range(0, len(done), self.seeds)
        return [np.stack(done[start : start + self.seeds]) for start in starts]

    def job(
        self,
        features: Features,
        fitted: Rows,
        predicted: Rows,
        seed: int,
        settings: BoostingSettings | None = None,
    ) -> Job:
        """One fit, as a function of the number of threads that it may use."""
        return partial(self._fit, features, fitted, predicted, seed, settings or self.settings)

    def _fit(
        self,
        features: Features,
        fitted: Rows,
        predicted: Rows,
        seed: int,
        settings: BoostingSettings,
        threads: int,
    ) -> Predictions:
        return fit_predict(
            features[fitted],
            self.labels[fitted],
            features[predicted],
            label=self.label,
            settings=settings,
            seed=seed,
            threads=threads,
        )

    def run(self, jobs: Sequence[Job], what: str) -> list[Predictions]:
        """Results of jobs, in their order."""
        if not jobs:
            return []
        available = self.threads or len(os.sched_getaffinity(0))
        workers = min(available, len(jobs))
        with ThreadPoolExecutor(workers) as pool:
            done = pool.map(lambda job: job(available // workers), jobs)
            # In a file, every bar would leave an empty line.
            silent = not get_console().is_terminal
            text = f"LightGBM on {what}"
            return list(track(done, text, total=len(jobs), transient=True, disable=silent))
