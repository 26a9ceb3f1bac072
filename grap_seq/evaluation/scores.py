"""How good predictions are: the main score of a dataset, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
)

from grap_seq.schema import OF_NUMBERS, Label, Metric

Labels = npt.NDArray[Any]
Predictions = npt.NDArray[np.float64]
CALIBRATION_BINS = 10


def score(labels: Labels, predictions: Predictions, label: Label) -> float:
    """Quality of predictions by the label's metric, higher is better.

    accuracy; auc: the area under the ROC curve, with more than two classes the mean over the
    classes, each against the rest; r2: the share of a number's variance that is predicted; mae: the
    mean absolute error with a minus sign, in the label's own unit.

    Args:
        labels: (sequences,) codes of the label.
        predictions: (sequences, label.outputs), as of `Binned.predict`.
        label: What is predicted.

    Returns:
        The score; NaN where it is undefined: no sequences, or one class only for an AUC, one
        number only for R².
    """
    if len(labels) == 0 or (label.metric in ("auc", "r2") and len(np.unique(labels)) < 2):
        return float("nan")
    return float(_SCORES[label.metric](labels, predictions)) * (
        label.std if label.metric == "mae" else 1.0
    )


def further_scores(labels: Labels, predictions: Predictions, label: Label) -> dict[str, float]:
    """Scores beside the main one; NaN where there are no sequences, or whose labels are all equal.

    Returns:
        Of a number r2 and mae, as in `score`. Of classes
        pr_auc: Average precision, of the second of two classes or the mean over the classes.
        log_loss: Mean negative log-likelihood, in nats.
        brier: Mean squared error of the probabilities: of the second of two classes, or summed over
            the classes.
        f1: Mean over the classes of F1, the harmonic mean of precision and recall.
    """
    if not label.classes:
        by = (replace(label, metric=metric) for metric in OF_NUMBERS)
        return {one.metric: score(labels, predictions, one) for one in by}
    if len(np.unique(labels)) < 2:
        return dict.fromkeys(("pr_auc", "log_loss", "brier", "f1"), float("nan"))
    probabilities, classes = predictions, label.outputs
    squared = ((probabilities - np.eye(classes)[labels]) ** 2).sum(axis=1).mean()
    return {
        "pr_auc": _against_rest(average_precision_score, labels, probabilities),
        "log_loss": float(log_loss(labels, probabilities, labels=np.arange(classes))),
        "brier": float(squared / 2 if classes == 2 else squared),
        "f1": float(f1_score(labels, probabilities.argmax(axis=1), average="macro")),
    }


def _against_rest(metric: Any, labels: Labels, probabilities: Predictions) -> float:
    positive = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    return float(np.mean([metric(labels == c, probabilities[:, c]) for c in positive]))


def _auc(positive: npt.NDArray[np.bool_], predicted: npt.NDArray[np.float64]) -> float:
    """The share of pairs of a positive and a negative in which the positive has more, ties half.

    That is the area under the ROC curve, by the Mann-Whitney statistic. The intervals of an
    evaluation need hundreds; `sklearn.metrics.roc_auc_score` takes a millisecond for the smallest.
    """
    ranks = rankdata(predicted, nan_policy="raise")
    ones = int(positive.sum())
    below = ranks[positive].sum() - ones * (ones + 1) / 2
    return float(below / (ones * (len(positive) - ones)))


_SCORES: dict[Metric, Callable[[Labels, Predictions], Any]] = {
    "auc": partial(_against_rest, _auc),
    "accuracy": lambda labels, found: accuracy_score(labels, found.argmax(axis=1)),
    "r2": lambda labels, found: r2_score(labels, found[:, 0]),
    "mae": lambda labels, found: -mean_absolute_error(labels, found[:, 0]),
}


def calibration(labels: Labels, probabilities: Predictions) -> dict[str, list[float]]:
    """How often predictions of some probability come true, in bins of equal size.

    The probability is that of the second of two classes, or of the class predicted.

    Returns:
        predicted: Mean probability of each bin, rising.
        observed: Share of its sequences in which it came true.
    """
    if probabilities.shape[1] == 2:
        true, predicted = labels == 1, probabilities[:, 1]
    else:
        true, predicted = labels == probabilities.argmax(axis=1), probabilities.max(axis=1)
    # Rounding may leave a sum of probabilities a little above one.
    observed, mean = calibration_curve(
        true, predicted.clip(0, 1), n_bins=CALIBRATION_BINS, strategy="quantile", pos_label=True
    )
    return {"predicted": mean.tolist(), "observed": observed.tolist()}
