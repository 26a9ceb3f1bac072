"""Scores beside the main one, against formulas and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score
from torch import as_tensor
from torchmetrics.functional import average_precision, f1_score

from grap_seq.evaluation.scores import calibration, further_scores, score
from grap_seq.schema import Label

LABELS = {2: Label("churn", "auc", ("no", "yes")), 3: Label("group", "accuracy", ("a", "b", "c"))}


@pytest.mark.parametrize("classes", [2, 3])
def test_further_scores(classes: int) -> None:
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=300)
    logits = rng.normal(size=(300, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = further_scores(labels, probabilities, LABELS[classes])

    truth = np.eye(classes)[labels]
    # The cross-entropy of certain labels is the divergence from them.
    assert found["log_loss"] == pytest.approx(entropy(truth, probabilities, axis=1).mean())
    if classes == 2:
        brier = np.mean((probabilities[:, 1] - labels) ** 2)
    else:
        brier = np.mean(np.sum((probabilities - truth) ** 2, axis=1))
    assert found["brier"] == pytest.approx(brier)
    guesses, target = as_tensor(probabilities), as_tensor(labels)
    options: Any = {"task": "multiclass", "num_classes": classes, "average": "macro"}
    assert found["f1"] == pytest.approx(f1_score(guesses, target, **options).item())
    if classes == 2:
        precision = average_precision(guesses[:, 1], target, task="binary")
    else:
        precision = average_precision(guesses, target, **options)
    assert precision is not None
    assert found["pr_auc"] == pytest.approx(precision.item(), abs=1e-6)


@pytest.mark.parametrize("digits", [1, 16])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_auc_is_that_of_scikit_learn(classes: int, digits: int) -> None:
    """With ties and without, and where a class has no row."""
    rng = np.random.default_rng(classes)
    for rows in (2, 3, 50, 3000):
        labels = np.arange(rows) % classes if rows < 50 else rng.integers(classes, size=rows)
        probabilities = rng.dirichlet([1.0] * classes, rows).round(digits)
        present = [1] if classes == 2 else np.unique(labels)
        expected = np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in present])
        label = replace(LABELS[classes], metric="auc")
        assert score(labels, probabilities, label) == pytest.approx(expected, rel=1e-12)


def test_an_auc_of_nothing_is_refused() -> None:
    probabilities = np.array([[0.5, 0.5], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="nan"):
        score(np.array([0, 1]), probabilities, LABELS[2])


def test_one_class_has_no_further_scores() -> None:
    found = further_scores(np.zeros(4, int), np.eye(2)[[0, 1, 0, 1]], LABELS[2])
    assert all(math.isnan(value) for value in found.values())


def test_numbers_have_two_scores() -> None:
    rng = np.random.default_rng(0)
    codes, found = rng.normal(size=(2, 50))
    label = Label("age", "mae", mean=40.0, std=10.0)
    scores = further_scores(codes, found[:, None], label)
    assert scores["mae"] == pytest.approx(-np.mean(np.abs(codes - found)) * 10)
    explained = 1 - np.sum((codes - found) ** 2) / np.sum((codes - codes.mean()) ** 2)
    assert scores["r2"] == pytest.approx(explained)


def test_calibration_by_hand() -> None:
    # Two groups: of those given 0.2 a fifth comes true, of those given 0.9 only half.
    predicted = np.repeat([0.2, 0.9], 50)
    labels = np.concatenate([np.arange(50) % 5 == 0, np.arange(50) % 2]).astype(int)
    found = calibration(labels, np.stack([1 - predicted, predicted], axis=1))
    assert found["predicted"] == pytest.approx([0.2, 0.9])
    assert found["observed"] == pytest.approx([0.2, 0.5])
    # Of more classes it is that of the class predicted.
    three = np.tile([0.1, 0.7, 0.2], (10, 1))
    found = calibration(np.array([1] * 6 + [0] * 4), three)
    assert found == {"predicted": pytest.approx([0.7]), "observed": pytest.approx([0.6])}
