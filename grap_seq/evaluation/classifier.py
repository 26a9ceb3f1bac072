"""LightGBM over the parts of a plan, with several seeds.

The fits are independent and small: they run side by side with a share of the threads each, which
is faster than one after the other and gives the same numbers. Large ones run one after the other,
because each holds a copy of its rows' bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from grap_seq.evaluation.binned import Binned
from grap_seq.evaluation.boosting import BoostingSettings, for_few
from grap_seq.evaluation.features import Features, Rows
from grap_seq.evaluation.plan import Part
from grap_seq.evaluation.scores import Labels, Predictions
from grap_seq.evaluation.trees import Trees
from grap_seq.schema import Label
from grap_seq.terminal import progress

Seeded = npt.NDArray[np.float64]  # (seeds, rows, label.outputs)

SIDE_BY_SIDE = 500_000_000
"""Bytes that the fits of a moment may hold in copies of bins, one fit excepted."""


class Fit(NamedTuple):
    """One fit: rows to fit on, rows to predict, seed, settings."""

    fitted: Rows
    predicted: Rows
    seed: int
    settings: BoostingSettings


@dataclass(frozen=True)
class Classifier:
    """What all fits of an evaluation share.

    Attributes:
        labels: (N,) codes of the label of all labelled sequences.
        label: What is predicted.
        settings: LightGBM's parameters.
        seed: The first seed; every part has seeds of its own.
        seeds: Fits of every part, whose probabilities are averaged.
        threads: CPU threads of all fits together; None: as many as PyTorch uses, which is one per
            core or OMP_NUM_THREADS. Two processes that each count on all cores wait for each other
            in every round.
        few: Fit few rows with smaller leaves (`boosting.for_few`).
    """

    labels: Labels
    label: Label
    settings: BoostingSettings
    seed: int = 0
    seeds: int = 1
    threads: int | None = None
    few: bool = False

    def settings_of(self, part: Part) -> BoostingSettings:
        """Of the fits of a part."""
        return for_few(self.settings, len(part.fit)) if self.few else self.settings

    def bins(self, features: Features, parts: Sequence[Part]) -> Binned:
        """Features (N, columns) ready for the fits of some parts."""
        rows = reduce(np.union1d, [part.fit for part in parts])
        return Binned(features, rows, self.settings, self.available)

    def predictions(
        self, binned: Binned, parts: Sequence[Part], what: str, first: int = 0
    ) -> list[Seeded]:
        """Predictions (seeds, predicted rows, label.outputs) of every part.

        Args:
            binned: The features.
            parts: What is fitted and predicted.
            what: Name of the features for the progress bar.
            first: Number of the first part in its plan, on which its seeds depend.
        """
        fits = self._fits(parts, first)
        done = self.run(binned, fits, what)
        starts = range(0, len(done), self.seeds)
        return [np.stack(done[start : start + self.seeds]) for start in starts]

    def fitted(self, binned: Binned, parts: Sequence[Part]) -> list[Trees]:
        """The classifiers whose predictions `predictions` returns, part by part, seed by seed."""
        threads = self.available
        return [self._fit(binned, fit, threads) for fit in self._fits(parts)]

    def run(self, binned: Binned, fits: Sequence[Fit], what: str) -> list[Predictions]:
        """Predictions of fits, in their order."""
        if not fits:
            return []
        workers = min(self.available, len(fits), 1 + SIDE_BY_SIDE // binned.size)
        threads = self.available // workers

        def predicted(fit: Fit) -> Predictions:
            return binned.predict(self._fit(binned, fit, threads), fit.predicted, threads)

        with ThreadPoolExecutor(workers) as pool:
            done = pool.map(predicted, fits)
            with progress() as shown:
                return list(shown.track(done, len(fits), description=f"LightGBM on {what}"))

    @property
    def available(self) -> int:
        """CPU threads of all fits together."""
        return self.threads or torch.get_num_threads()

    def _fits(self, parts: Sequence[Part], first: int = 0) -> list[Fit]:
        return [
            Fit(
                part.fit,
                part.predicted,
                self.seed + self.seeds * number + more,
                self.settings_of(part),
            )
            for number, part in enumerate(parts, first)
            for more in range(self.seeds)
        ]

    def _fit(self, binned: Binned, fit: Fit, threads: int) -> Trees:
        return binned.fit(
            fit.fitted,
            self.labels[fit.fitted],
            label=self.label,
            settings=fit.settings,
            seed=fit.seed,
            threads=threads,
        )
