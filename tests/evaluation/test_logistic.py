"""Logistic regression on embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from grap_seq.evaluation.features import Features
from grap_seq.evaluation.logistic import logistic_predictions
from grap_seq.evaluation.plan import Part
from grap_seq.evaluation.scores import score
from grap_seq.schema import Label

NONE = np.zeros(0, np.intp)
TWO = Label("churn", "auc", ("no", "yes"))
THREE = Label("group", "accuracy", ("a", "b", "c"))
PART = Part(np.arange(300), np.arange(300, 600), NONE)


def test_a_linear_label_is_learned_whatever_the_scale_of_the_columns() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 30))
    labels = (features[:, :3].sum(axis=1) + rng.normal(size=600) > 0).astype(int)
    scale = 10.0 ** rng.uniform(-3, 3, 30)
    found, scaled = (
        logistic_predictions(Features((x,)), labels, PART, TWO, seed=0)
        for x in (features.astype("float32"), (features * scale + scale).astype("float32"))
    )
    assert found.sum(axis=1) == pytest.approx(1)
    # The best possible: P(z + e > z' + e') for a signal of variance 3 and a noise of 1, 0.92.
    assert score(labels[300:], found, TWO) == pytest.approx(0.92, abs=0.04)
    np.testing.assert_allclose(found, scaled, atol=1e-3)


def test_noise_is_shrunk() -> None:
    """With more columns than rows, a weak penalty would be certain of nothing but errors."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, 400)).astype("float32")
    labels = rng.integers(2, size=600)
    found = logistic_predictions(Features((features,)), labels, PART, TWO, seed=0)
    assert np.abs(score(labels[300:], found, TWO) - 0.5) < 0.1


def test_classes_that_are_missing_or_alone() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(600, 4)).astype("float32")
    labels = np.where(np.arange(600) < 300, 2 * (np.arange(600) % 2), 1)
    found = logistic_predictions(Features((features,)), labels, PART, THREE, seed=0)
    assert (found[:, 1] == 0).all()
    alone = logistic_predictions(Features((features,)), np.ones(600, int), PART, THREE, seed=0)
    np.testing.assert_array_equal(alone, np.tile([0.0, 1.0, 0.0], (300, 1)))
