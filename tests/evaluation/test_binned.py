"""Fits on shared bins are LightGBM's own fits on the same rows."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from grap_seq.evaluation import binned
from grap_seq.evaluation.binned import Binned
from grap_seq.evaluation.boosting import BoostingSettings
from grap_seq.evaluation.features import Features
from grap_seq.schema import Label

SETTINGS = BoostingSettings(n_estimators=8, learning_rate=0.1, min_data_in_leaf=10)
ROWS = 600


def data(n_classes: int) -> tuple[Any, Any]:
    """Columns of few values, so that any rows have the same bins as all of them."""
    rng = np.random.default_rng(n_classes)
    labels = rng.integers(n_classes, size=ROWS)
    columns = rng.integers(6, size=(ROWS, 5)) + labels[:, None] * np.arange(5)
    features = np.where(rng.random((ROWS, 5)) < 0.1, np.nan, columns).astype(np.float32)
    return features, labels


def label_of(n_classes: int) -> Label:
    return Label("toy", "accuracy", tuple(map(str, range(n_classes))))


def own_fit(features: Any, labels: Any, fitted: Any, predicted: Any, seed: int) -> Any:
    """By LightGBM's own interface to scikit-learn."""
    model = lightgbm.LGBMClassifier(
        n_estimators=8, learning_rate=0.1, max_depth=6, num_leaves=31, min_child_samples=10,
        subsample=0.5, subsample_freq=1, colsample_bytree=0.75, reg_alpha=1.0, reg_lambda=1.0,
        max_bin=255, random_state=seed, n_jobs=1, deterministic=True, force_col_wise=True,
        verbosity=-1, feature_pre_filter=False,
    )  # fmt: skip
    return model.fit(features[fitted], labels[fitted]).predict_proba(features[predicted])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("values", [1_000, 1_000_000])
def test_same_as_lightgbm(n_classes: int, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binned, "BIN_VALUES", values)
    features, labels = data(n_classes)
    rows = np.arange(100, ROWS)
    shared = Binned(Features((features[:, :2], features[:, 2:])), rows, SETTINGS, threads=1)
    for seed, fitted in enumerate((rows, rows[::2], rows[50:250])):
        predicted = np.setdiff1d(np.arange(ROWS), fitted)
        trees = shared.fit(
            fitted, labels[fitted], label=label_of(n_classes), settings=SETTINGS, seed=seed,
            threads=1,
        )  # fmt: skip
        found = shared.predict(trees, predicted, threads=1)
        np.testing.assert_array_equal(found, own_fit(features, labels, fitted, predicted, seed))


def test_classes_that_are_not_fitted_have_no_probability() -> None:
    features, labels = data(3)
    shared = Binned(Features((features,)), np.arange(ROWS), SETTINGS, threads=1)
    predicted = np.arange(20)
    for seen in ((0, 2), (1,)):
        fitted = np.flatnonzero(np.isin(labels, seen))
        trees = shared.fit(
            fitted, labels[fitted], label=label_of(3), settings=SETTINGS, seed=0, threads=1
        )
        found = shared.predict(trees, predicted, threads=1)
        assert (found[:, [c for c in range(3) if c not in seen]] == 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)


def test_numbers() -> None:
    features, labels = data(4)
    rows = np.arange(300)
    shared = Binned(Features((features,)), np.arange(ROWS), SETTINGS, threads=1)
    trees = shared.fit(
        rows, labels[rows] / 2.0, label=Label("age", "r2"), settings=SETTINGS, seed=0, threads=1
    )
    found = shared.predict(trees, rows, threads=1)
    model = lightgbm.LGBMRegressor(
        n_estimators=8, learning_rate=0.1, max_depth=6, num_leaves=31, min_child_samples=10,
        subsample=0.5, subsample_freq=1, colsample_bytree=0.75, reg_alpha=1.0, reg_lambda=1.0,
        max_bin=255, random_state=0, n_jobs=1, deterministic=True, force_col_wise=True,
        verbosity=-1, feature_pre_filter=False,
    )  # fmt: skip
    expected = model.fit(features[rows], labels[rows] / 2.0).predict(features[rows])
    np.testing.assert_array_equal(found[:, 0], expected)


def test_parts_are_cut_with_the_threads_of_their_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """LightGBM has one number of threads in a process: another one beside a fit crashes it."""
    features, labels = data(3)
    rows = np.arange(ROWS)
    bins = Binned(Features((features,)), rows, SETTINGS, 2)
    cut: list[int] = []
    usual = lightgbm.Dataset.subset

    def recorded(self: Any, used: Any, params: Any = None) -> Any:
        cut.append((params or self.params)["num_threads"])
        return usual(self, used, params)

    monkeypatch.setattr(lightgbm.Dataset, "subset", recorded)
    for threads in (1, 2):
        bins.fit(rows, labels, label=label_of(3), settings=SETTINGS, seed=0, threads=threads)
    assert cut == [1, 2]
