"""Embeddings and aggregates together: each way wins where it should, chosen on training rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.decomposition import PCA

from grap_seq.evaluation.boosting import BoostingSettings
from grap_seq.evaluation.classifier import Classifier
from grap_seq.evaluation.combine import (
    WAYS,
    Alone,
    Combined,
    _choose,
    combine,
    components,
    fit_alone,
)
from grap_seq.evaluation.features import Features
from grap_seq.evaluation.plan import Part
from grap_seq.schema import Label

SETTINGS = BoostingSettings(n_estimators=40, learning_rate=0.1, min_data_in_leaf=10)
Array = npt.NDArray[Any]
NONE = np.zeros(0, np.intp)
LABEL = Label("churn", "auc", ("no", "yes"))


def combined(embedding: Array, aggregates: Array, labels: Array, parts: list[Part]) -> Combined:
    classifier = Classifier(labels, LABEL, SETTINGS, seeds=2, threads=1)
    one, two = (
        fit_alone(classifier, Features((features.astype("float32"),)), parts, "")
        for features in (embedding, aggregates)
    )
    return combine(classifier, parts, one, two)


def parts_of(count: int, number: int) -> list[Part]:
    folds = np.array_split(np.arange(count), number)
    return [Part(np.setdiff1d(np.arange(count), fold), fold, NONE) for fold in folds]


def test_an_interaction_needs_one_classifier() -> None:
    """A label that neither side tells alone: averaging can do nothing."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(600, 3)), rng.normal(size=(600, 2))
    labels = ((one[:, 0] > 0) ^ (two[:, 0] > 0)).astype(int)
    found = combined(one, two, labels, parts_of(600, 2))
    assert set(found.ways) <= {"components", "concatenated"}
    for scores in found.inner:
        assert scores["averaged"] < 0.6
        assert scores["concatenated"] > 0.8
    assert [p.shape for p in found.predictions] == [(2, 300, 2)] * 2


def test_a_direction_of_large_variance_is_a_component() -> None:
    """The label is a weak sum over 400 columns: one component, and no single column."""
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=400)
    hidden = labels + rng.normal(size=400)
    embedding = hidden[:, None] + 8 * rng.normal(size=(400, 400))
    found = combined(embedding, rng.normal(size=(400, 4)), labels, parts_of(400, 1 + 1))
    for scores in found.inner:
        assert scores["components"] > scores["concatenated"]
        assert max(scores, key=scores.__getitem__) in WAYS


def test_the_choice_does_not_see_the_rows_that_are_scored() -> None:
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(300, 5)), rng.normal(size=(300, 3))
    labels = (one[:, 0] + two[:, 0] + rng.normal(size=300) > 0).astype(int)
    part = Part(np.arange(200), np.arange(200, 300), NONE)
    first = combined(one, two, labels, [part])
    one[200:], two[200:], labels[200:] = 9.0, -9.0, 1
    second = combined(one, two, labels, [part])
    assert first.inner == second.inner
    assert (first.ways, first.shares) == (second.ways, second.shares)


@pytest.mark.parametrize(
    ("components", "concatenated", "expected"),
    [
        ([0.8, 0.8, 0.8], [0.9, 0.6, 0.9], "components"),
        ([0.8, 0.8, 0.8], [0.9, 0.9, 0.9], "concatenated"),
        ([0.9, 0.9, 0.7], [0.9, 0.6, 0.9], "averaged"),
        ([math.nan, 0.9, 0.9], [0.6, 0.6, 0.6], "averaged"),
        ([0.7, 0.8, 0.8], [0.6, 0.6, 0.6], "averaged"),
    ],
)
def test_another_way_than_averaging_has_to_win_in_every_fold(
    components: list[float], concatenated: list[float], expected: str
) -> None:
    scores = {"averaged": [0.7] * 3, "components": components, "concatenated": concatenated}
    assert _choose(scores, "averaged") == expected
    assert _choose({way: [] for way in scores}, "averaged") == "averaged"


@pytest.mark.parametrize(
    ("noise", "shares", "way"),
    [
        ((9.0, 0.5), (0.0, 0.3), "averaged"),
        ((0.5, 9.0), (0.7, 1.0), "averaged"),
        # What one classifier sees of six columns alike is more.
        ((2.0, 2.0), (0.4, 0.6), "components"),
    ],
)
def test_the_better_side_has_the_larger_share(
    noise: tuple[float, float], shares: tuple[float, float], way: str
) -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(2, size=900)
    one, two = (labels[:, None] + of * rng.normal(size=(900, 3)) for of in noise)
    part = Part(np.arange(600), np.arange(600, 900), NONE)
    found = combined(one, two, labels, [part])
    (share,) = found.shares
    assert shares[0] <= share <= shares[1]
    assert found.ways == [way]
    classifier = Classifier(labels, LABEL, SETTINGS, seeds=2, threads=1)
    alone = [
        fit_alone(classifier, Features((features.astype("float32"),)), [part], "").predictions[0]
        for features in (one, two)
    ]
    average = share * alone[0] + (1 - share) * alone[1]
    assert np.allclose(found.predictions[0], average, atol=1e-12) == (way == "averaged")


def test_averages_are_those_of_the_two() -> None:
    labels = np.arange(12) % 2
    # Two of a class are too few for three inner folds.
    part = Part(np.arange(4), np.arange(4, 12), NONE)
    classifier = Classifier(labels, LABEL, SETTINGS, threads=1)
    features = Features((np.eye(12, 2, dtype="float32"),))
    one, two = (Alone(features, [np.full((1, 8, 2), value)], [[]]) for value in (0.25, 0.75))
    found = combine(classifier, [part], one, two)
    assert (found.ways, found.shares) == (["averaged"], [0.5])
    assert all(np.isnan(list(found.inner[0].values())))
    assert found.predictions[0] == pytest.approx(0.5)


def test_components_are_found_on_the_fitted_rows() -> None:
    rng = np.random.default_rng(3)
    embedding = (rng.normal(size=(80, 60)) * rng.uniform(0.1, 9, 60)).astype("float32")
    rows = np.arange(50)
    found = components(Features((embedding,)), rows, 0)
    assert found.shape == (80, 48)
    mean, std = embedding[rows].mean(axis=0), embedding[rows].std(axis=0)
    scaled = (embedding - mean) / std
    expected = PCA(48, svd_solver="full").fit(scaled[rows]).transform(scaled)
    # Up to the sign of every component.
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)
