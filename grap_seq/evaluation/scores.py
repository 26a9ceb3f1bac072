"""How good predictions are: the main score of a dataset, and what stands beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    roc_auc_score,
)

from grap_seq.schema import Metric

Labels = npt.NDArray[Any]
Probabilities = npt.NDArray[np.float64]
CALIBRATION_BINS = 10


def score(labels: Labels, probabilities: Probabilities, metric: Metric) -> float:
    """Quality of predictions, higher is better.

    Args:
        labels: (sequences,) class indices.
        probabilities: (sequences, classes).
        metric: "accuracy", or "auc": the area under the ROC curve; with more than two classes the
            mean over the classes, each against the rest.

    Returns:
        The score; NaN where it is undefined: no sequences, or an AUC of a single class.
    """
    present = np.unique(labels)
    if len(labels) == 0 or (metric == "auc" and len(present) < 2):
        return float("nan")
    if metric == "accuracy":
        return float(accuracy_score(labels, probabilities.argmax(axis=1)))
    return _against_rest(roc_auc_score, labels, probabilities)


def further_scores(labels: Labels, probabilities: Probabilities) -> dict[str, float]:
    """Scores beside the main one; NaN where there are no sequences or one class only.

    Returns:
        pr_auc: Average precision, of the second of two classes or the mean over the classes.
        log_loss: Mean negative log-likelihood, in nats.
        brier: Mean squared error of the probabilities: of the second of two classes, or summed over
            the classes.
        f1: Mean over the classes of F1, the harmonic mean of precision and recall.
    """
    if len(np.unique(labels)) < 2:
        return dict.fromkeys(("pr_auc", "log_loss", "brier", "f1"), float("nan"))
    classes = probabilities.shape[1]
    squared = ((probabilities - np.eye(classes)[labels]) ** 2).sum(axis=1).mean()
    return {
        "pr_auc": _against_rest(average_precision_score, labels, probabilities),
        "log_loss": float(log_loss(labels, probabilities, labels=np.arange(classes))),
        "brier": float(squared / 2 if classes == 2 else squared),
        "f1": float(f1_score(labels, probabilities.argmax(axis=1), average="macro")),
    }


def _against_rest(metric: Any, labels: Labels, probabilities: Probabilities) -> float:
    positive = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    return float(np.mean([metric(labels == c, probabilities[:, c]) for c in positive]))


def calibration(labels: Labels, probabilities: Probabilities) -> dict[str, list[float]]:
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
