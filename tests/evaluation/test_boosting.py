"""The probe learns what can be learned, nothing from shuffled labels, and repeats itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from grap_seq.evaluation.binned import fit_predict, fit_score
from grap_seq.evaluation.boosting import (
    Boosting,
    BoostingSettings,
    caveats,
)
from grap_seq.evaluation.scores import score
from grap_seq.schema import Label

TWO = Label("bought", "auc", ("no", "yes"))
THREE = Label("group", "accuracy", ("a", "b", "c"))
SMALL = Boosting(
    binary=BoostingSettings(n_estimators=60, learning_rate=0.1, min_data_in_leaf=20),
    multiclass=BoostingSettings(n_estimators=40, learning_rate=0.1, min_data_in_leaf=20),
)
Array = npt.NDArray[Any]

FEW = BoostingSettings(n_estimators=5, min_data_in_leaf=20)


def data(n_classes: int, count: int = 1200, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Two of six columns carry the class; half of the rows for the test."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=count)
    features = rng.normal(size=(count, 6)).astype("float32")
    features[:, 0] += labels
    features[:, 1] -= labels
    half = count // 2
    return features[:half], labels[:half], features[half:], labels[half:]


def auc_error(labels: Array) -> float:
    """Standard error of an AUC of 0.5: sqrt((m + n + 1) / 12mn), the Mann-Whitney variance."""
    m = int((labels == 1).sum())
    n = len(labels) - m
    return math.sqrt((m + n + 1) / (12 * m * n))


def test_two_classes_are_learned() -> None:
    # The best possible AUC: the sum of the two columns differs by 2 with a deviation of sqrt(2),
    # so P(positive > negative) = Phi(1 * 2 / 2) = 0.841.
    assert fit_score(*data(2), TWO, 0, 1, boosting=SMALL) == pytest.approx(0.84, abs=0.05)


def test_many_classes_are_learned() -> None:
    train_x, train_y, test_x, test_y = data(3)
    assert fit_score(train_x, train_y, test_x, test_y, THREE, 0, 1, boosting=SMALL) > 0.6
    assert (
        fit_score(
            train_x, train_y, test_x, test_y, replace(THREE, metric="auc"), 0, 1, boosting=SMALL
        )
        > 0.75
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_labels_leave_chance(seed: int) -> None:
    train_x, train_y, test_x, test_y = data(2, seed=seed)
    shuffled = np.random.default_rng(seed).permutation(np.concatenate([train_y, test_y]))
    fitted, scored = np.split(shuffled, 2)
    value = fit_score(train_x, fitted, test_x, scored, TWO, 0, 1, boosting=SMALL)
    assert abs(value - 0.5) < 3 * auc_error(scored)


def test_same_seed_same_numbers_for_any_number_of_threads() -> None:
    train_x, train_y, test_x, _ = data(3)

    def predict(seed: int, threads: int) -> Array:
        return fit_predict(
            train_x, train_y, test_x, label=THREE, settings=FEW, seed=seed,
            threads=threads,
        )  # fmt: skip

    np.testing.assert_array_equal(predict(0, 1), predict(0, 1))
    np.testing.assert_array_equal(predict(0, 1), predict(0, 2))
    assert (predict(0, 1) != predict(1, 1)).any()


def test_defaults_are_the_protocol() -> None:
    binary, multiclass = Boosting().settings(TWO), Boosting().settings(THREE)
    assert (binary.n_estimators, binary.max_depth, binary.num_leaves) == (500, 6, 31)
    assert (multiclass.n_estimators, multiclass.max_depth, multiclass.num_leaves) == (1000, 12, 50)
    assert (binary.bagging_fraction, multiclass.bagging_fraction) == (0.5, 0.75)
    for settings in (binary, multiclass):
        assert (settings.learning_rate, settings.feature_fraction) == (0.02, 0.75)
        assert (settings.lambda_l1, settings.lambda_l2, settings.min_data_in_leaf) == (1, 1, 50)


def test_settings_from_config() -> None:
    changed = Boosting.from_config({"multiclass": {"n_estimators": 10}})
    assert changed.multiclass.n_estimators == 10
    assert changed.multiclass.max_depth == 12
    assert changed.binary == Boosting().binary
    with pytest.raises(ValueError, match="did you mean 'n_estimators'"):
        Boosting.from_config({"binary": {"n_estimator": 10}})
    with pytest.raises(ValueError, match="did you mean 'multiclass'"):
        Boosting.from_config({"multi": {}})


def test_score_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    positive = np.array([0.1, 0.6, 0.4, 0.9])  # three of the four pairs are in the right order
    probabilities = np.column_stack([1 - positive, positive])
    assert score(labels, probabilities, TWO) == 0.75
    assert score(labels, probabilities, replace(TWO, metric="accuracy")) == 0.5
    three = np.eye(3)[[0, 1, 2, 2]]
    assert score(np.array([0, 1, 2, 1]), three, THREE) == 0.75
    # One class against the rest, counted pair by pair.
    expected = np.mean([_pairs(np.array([0, 1, 2, 1]) == c, three[:, c]) for c in range(3)])
    assert score(np.array([0, 1, 2, 1]), three, replace(THREE, metric="auc")) == pytest.approx(
        expected
    )


def _pairs(positive: Array, values: Array) -> float:
    pairs = [(p, n) for p in values[positive] for n in values[~positive]]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def test_missing_classes_do_not_crash() -> None:
    train_x, train_y, test_x, test_y = data(3)
    rare = train_y != 2
    probabilities = fit_predict(
        train_x[rare], train_y[rare], test_x, label=THREE, settings=SMALL.multiclass, seed=0,
        threads=1,
    )  # fmt: skip
    assert (probabilities[:, 2] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    zeros = np.zeros(len(train_y), int)
    assert fit_score(train_x, zeros, test_x, test_y, THREE, 0, 1) == (test_y == 0).mean()
    train_x, train_y, test_x, _ = data(2)
    assert math.isnan(fit_score(train_x, train_y, test_x, zeros, TWO, 0, 1, boosting=SMALL))


def test_caveats_in_words() -> None:
    settings = Boosting().binary
    plenty = np.arange(1000) % 2
    assert caveats(plenty, plenty, TWO, settings) == []
    (scored,) = caveats(plenty, np.zeros(7, int), TWO, settings)
    assert scored == "No sequence of class yes among the 7 on which the classifier is scored."
    (small,) = caveats(np.arange(100) % 2, plenty, TWO, settings)
    assert "boosting.binary.min_data_in_leaf" in small
