"""A score and how far it can be trusted.

Scores of different features on the same sequences rise and fall together, so a difference is judged
by paired samples (the same folds, the same bootstrap resamples), never by two separate error bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from grap_seq.evaluation.scores import Labels, Predictions, score
from grap_seq.schema import Label

RESAMPLES = 200
"""Bootstrap resamples of the test sequences and of the classifier's seeds."""
CONFIDENCE = 0.95
"""Of an interval of a difference."""


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


@dataclass(frozen=True)
class Difference:
    """A paired difference: its mean, standard error and confidence interval; NaN if undefined."""

    mean: float
    error: float
    low: float
    high: float


UNDEFINED = Difference(math.nan, math.nan, math.nan, math.nan)


def cross_validated(labels: list[Labels], predictions: list[Predictions], label: Label) -> Outcome:
    """Mean over folds, given labels and predictions of each fold's test part."""
    pairs = zip(labels, predictions, strict=True)
    scores = np.array([score(true, predicted, label) for true, predicted in pairs])
    defined = scores[~np.isnan(scores)]
    mean = float(defined.mean()) if len(defined) else math.nan
    return Outcome(mean, None, scores, len(scores))


def held_out(
    val: tuple[Labels, Predictions],
    test: tuple[Labels, npt.NDArray[np.float64]],
    label: Label,
    seed: int,
    owners: npt.NDArray[np.intp] | None = None,
) -> Outcome:
    """Scores on validation and test; the same seed draws the same resamples for all features.

    Args:
        val: Labels of the validation split and their predictions.
        test: Labels of the test split, and predictions (seeds, sequences, outputs) by classifiers
            of several seeds, whose mean is scored. A resample draws seeds too.
        label: What is predicted.
        seed: Seed of the bootstrap.
        owners: Number of the sequence of each test row, where sequences have several: then
            sequences are drawn, with all their rows, because those of one are not independent.
    """
    labels, predictions = test
    rng = np.random.default_rng(seed)
    order = np.arange(len(labels)) if owners is None else np.argsort(owners, kind="stable")
    numbers = order if owners is None else owners[order]
    rows_of = np.split(order, np.flatnonzero(np.diff(numbers)) + 1)
    samples = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(rows_of), size=len(rows_of))
        rows = drawn if owners is None else np.concatenate([rows_of[i] for i in drawn])
        seeds = rng.integers(len(predictions), size=len(predictions))
        samples.append(score(labels[rows], predictions[seeds][:, rows].mean(axis=0), label))
    mean = score(labels, predictions.mean(axis=0), label)
    return Outcome(mean, score(*val, label), np.array(samples), 0)


def difference(first: Outcome, second: Outcome) -> Difference:
    """`first` minus `second`.

    Folds: an interval of Student's t with a degree of freedom less than there are folds. The
    training parts of folds overlap, which makes std / sqrt(k) too small; the error is corrected by
    Nadeau and Bengio, "Inference for the generalization error" (2003): the variance over folds
    times 1/k + n_test / n_train, with n_test / n_train = 1 / (k - 1).

    Holdout: the error is the deviation over the paired resamples, the interval a normal one.
    """
    gaps = first.samples - second.samples
    gaps = gaps[~np.isnan(gaps)]
    if len(gaps) < 2:
        return UNDEFINED
    mean, error, probability = first.test - second.test, _std(gaps), (1 + CONFIDENCE) / 2
    quantile = stats.norm.ppf(probability)
    if first.folds:
        mean = float(gaps.mean())
        error *= math.sqrt(1 / len(gaps) + 1 / (first.folds - 1))
        quantile = stats.t.ppf(probability, len(gaps) - 1)
    margin = float(quantile) * error
    return Difference(mean, error, mean - margin, mean + margin)


def _std(samples: npt.NDArray[np.float64]) -> float:
    defined = samples[~np.isnan(samples)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
