"""A score and how far it can be trusted.

Scores of different features on the same sequences rise and fall together, so a difference is judged
by paired samples (the same folds, the same bootstrap resamples), never by two separate error bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grap_seq.evaluation.boosting import Labels, Predictions, score
from grap_seq.schema import Label

RESAMPLES = 200
"""Bootstrap resamples of the test sequences."""


@dataclass(frozen=True)
class Outcome:
    """Score of one set of features.

    Attributes:
        test: The score: on the test split, or the mean over the folds.
        validation: Score on the validation split; None for folds.
        samples: Scores of the folds, or of bootstrap resamples of the test split.
        folds: Number of folds; 0 for the holdout protocol.
    """

    test: float
    validation: float | None
    samples: npt.NDArray[np.float64]
    folds: int

    @property
    def std(self) -> float:
        """Deviation over folds, or over resamples (which is the standard error of `test`)."""
        return _std(self.samples)


def cross_validated(labels: list[Labels], predictions: list[Predictions], label: Label) -> Outcome:
    """Mean over folds, given labels and predictions of each fold's test part."""
    pairs = zip(labels, predictions, strict=True)
    scores = np.array([score(true, predicted, label) for true, predicted in pairs])
    defined = scores[~np.isnan(scores)]
    mean = float(defined.mean()) if len(defined) else math.nan
    return Outcome(mean, None, scores, len(scores))


def held_out(
    val: tuple[Labels, Predictions],
    test: tuple[Labels, Predictions],
    label: Label,
    seed: int,
    owners: npt.NDArray[np.intp] | None = None,
) -> Outcome:
    """Scores on validation and test; the same seed draws the same resamples for all features.

    `owners` numbers the sequences of the test rows, where they have several each: then sequences
    are drawn, with all their rows, because the rows of one are no independent samples.
    """
    labels, predictions = test
    rng = np.random.default_rng(seed)
    if owners is None:
        drawn = (rng.integers(len(labels), size=len(labels)) for _ in range(RESAMPLES))
    else:
        order = np.argsort(owners, kind="stable")
        rows_of = np.split(order, np.flatnonzero(np.diff(owners[order])) + 1)
        drawn = (
            np.concatenate([rows_of[i] for i in rng.integers(len(rows_of), size=len(rows_of))])
            for _ in range(RESAMPLES)
        )
    samples = np.array([score(labels[rows], predictions[rows], label) for rows in drawn])
    return Outcome(score(labels, predictions, label), score(*val, label), samples, 0)


def difference(first: Outcome, second: Outcome) -> tuple[float, float]:
    """Mean and standard error of `first` minus `second`.

    The training parts of k folds overlap, which makes std / sqrt(k) too small; the error is
    corrected by Nadeau and Bengio, "Inference for the generalization error" (2003): the variance
    over folds times 1/k + n_test / n_train, with n_test / n_train = 1 / (k - 1).
    """
    error = _std(first.samples - second.samples)
    if first.folds:
        error *= math.sqrt(1 / first.folds + 1 / (first.folds - 1))
    return first.test - second.test, error


def _std(samples: npt.NDArray[np.float64]) -> float:
    defined = samples[~np.isnan(samples)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
