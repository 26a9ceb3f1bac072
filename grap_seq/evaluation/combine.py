"""Embeddings and aggregates together: three ways, of which the training rows choose one.

- averaged: the mean of what the two classifiers predict, the embedding's by a share;
- components: one classifier on the first principal components of the embedding and the aggregates;
- concatenated: one classifier on all columns of both.

The hundreds of columns of an embedding leave few draws for the aggregates where a tree sees a share
of the columns, so plain concatenation can be worse than either alone. Which way is best depends on
the data. It is chosen for every part of a plan by folds inside the rows that the part is fitted on:
averaging in halves, unless another share, or another way, wins in each of them. Their classifiers
have fewer trees that learn faster, because only the order of the ways counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeVar

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grap_seq.evaluation.binned import Binned
from grap_seq.evaluation.boosting import BoostingSettings
from grap_seq.evaluation.classifier import Classifier, Fit, Seeded
from grap_seq.evaluation.features import Array, Features, Rows
from grap_seq.evaluation.plan import Part, divide, most_folds
from grap_seq.evaluation.scores import Predictions, score

Choice = TypeVar("Choice", str, int)
WAYS = ("averaged", "components", "concatenated")
HALF = 5
"""Tenths of an average that are the embedding's, unless others win."""
TENTHS = tuple(range(11))
COMPONENTS = 48
COMPONENT_ROWS = 10_000
"""Rows from which components are found, at most."""
INNER_FOLDS = 3
FASTER = 4
"""The inner classifiers have a quarter of the trees, with four times the rate."""


@dataclass(frozen=True)
class Combined:
    """Predictions of both together.

    Attributes:
        predictions: (seeds, predicted rows, label.outputs) of every part.
        ways: The way of every part.
        shares: The embedding's share of every part's average, whether or not that is its way.
        inner: Mean score of every way over the inner folds, of every part; NaN where there were too
            few sequences to choose, and the way is "averaged".
    """

    predictions: list[Seeded]
    ways: list[str]
    shares: list[float]
    inner: list[dict[str, float]]


@dataclass(frozen=True)
class Alone:
    """What classifiers on one set of features predict.

    Attributes:
        features: (N, columns).
        predictions: (seeds, predicted rows, label.outputs) of every part.
        inner: (rows of the fold, label.outputs) of every part and fold inside its fitted rows.
    """

    features: Features
    predictions: list[Seeded]
    inner: list[list[Predictions]]


def fit_alone(
    classifier: Classifier,
    features: Features,
    parts: Sequence[Part],
    what: str,
    owners: Rows | None = None,
) -> Alone:
    """Fit on one set of features, as a whole and in the inner folds."""
    binned = classifier.bins(features, parts)
    return Alone(
        features,
        classifier.predictions(binned, parts, what),
        _inner(classifier, binned, parts, owners),
    )


def combine(
    classifier: Classifier,
    parts: Sequence[Part],
    embedding: Alone,
    aggregates: Alone,
    owners: Rows | None = None,
) -> Combined:
    """Choose a way for every part and predict.

    Args:
        classifier: Labels and settings.
        parts: What is fitted and predicted.
        embedding: What a classifier on the embedding alone predicts.
        aggregates: The same of the aggregates.
        owners: (N,) number of the sequence, where sequences have several rows.
    """

    # One set of bins at a time is held: those of all columns are the last.
    def reduced(part: Part) -> Binned:
        found = components(embedding.features, part.fit, classifier.seed)
        return classifier.bins(Features((found,)).beside(aggregates.features), [part])

    inner = [_inner(classifier, reduced(part), [part], owners)[0] for part in parts]
    binned = classifier.bins(embedding.features.beside(aggregates.features), parts)
    folds = [_folds(classifier, part.fit, owners) for part in parts]
    tenths = [
        _tenth(classifier, *of_part)
        for of_part in zip(folds, embedding.inner, aggregates.inner, strict=True)
    ]
    found = {
        "components": inner,
        "concatenated": _inner(classifier, binned, parts, owners),
        "averaged": [
            [_average(*pair, tenth) for pair in zip(one, two, strict=True)]
            for one, two, tenth in zip(embedding.inner, aggregates.inner, tenths, strict=True)
        ],
    }
    scores = [
        {way: _scores(classifier, folds[n], found[way][n]) for way in WAYS}
        for n in range(len(parts))
    ]
    ways = [_choose(of_part, "averaged") for of_part in scores]
    predictions = [
        _average(*of_part)
        for of_part in zip(embedding.predictions, aggregates.predictions, tenths, strict=True)
    ]
    for way in ("concatenated", "components"):
        for number in (number for number, chosen in enumerate(ways) if chosen == way):
            if way == "components":
                binned = reduced(parts[number])
            (predictions[number],) = classifier.predictions(binned, [parts[number]], "both", number)
    means = [{way: _mean(of_folds) for way, of_folds in part.items()} for part in scores]
    return Combined(predictions, ways, [tenth / 10 for tenth in tenths], means)


def _tenth(
    classifier: Classifier,
    folds: Sequence[tuple[Rows, Rows]],
    embedding: Sequence[Predictions],
    aggregates: Sequence[Predictions],
) -> int:
    """Tenths of the average that are the embedding's."""
    scores = {
        tenth: _scores(
            classifier,
            folds,
            [_average(*pair, tenth) for pair in zip(embedding, aggregates, strict=True)],
        )
        for tenth in TENTHS
    }
    return _choose(scores, HALF)


def _choose(scores: Mapping[Choice, Sequence[float]], usual: Choice) -> Choice:
    """The usual one, which is safe, unless another wins in every fold: three are few."""
    known = scores[usual]
    better = [
        choice
        for choice, of_folds in scores.items()
        if known and all(s > u for s, u in zip(of_folds, known, strict=True))
    ]
    return max(better, key=lambda choice: fmean(scores[choice]), default=usual)


def components(embedding: Features, fitted: Rows, seed: int) -> Array:
    """Principal components (N, at most 48) of the standardised embedding, found on some rows."""
    rows = fitted
    if len(fitted) > COMPONENT_ROWS:
        rows = np.random.default_rng(seed).choice(fitted, COMPONENT_ROWS, replace=False)
    size = min(COMPONENTS, embedding.shape[1], len(rows))
    steps = make_pipeline(StandardScaler(), PCA(size, random_state=seed)).fit(embedding[rows])
    parts = [steps.transform(part) for part in embedding.batches(np.arange(len(embedding)))]
    result: Array = np.concatenate(parts).astype(np.float32)
    return result


def _average(embedding: Predictions, aggregates: Predictions, tenth: int) -> Predictions:
    """So many tenths of what the embedding's classifier predicts, and the rest of the other's."""
    return (tenth * embedding + (10 - tenth) * aggregates) / 10


def _inner(
    classifier: Classifier, binned: Binned, parts: Sequence[Part], owners: Rows | None
) -> list[list[Predictions]]:
    """Predictions of the folds inside the fitted rows of each part."""
    folds = [_folds(classifier, part.fit, owners) for part in parts]
    fits = [
        Fit(train, test, classifier.seed, _faster(classifier.settings_of(part)))
        for part, pairs in zip(parts, folds, strict=True)
        for train, test in pairs
    ]
    done = iter(classifier.run(binned, fits, "both, to choose how"))
    return [[next(done) for _ in pairs] for pairs in folds]


def _scores(
    classifier: Classifier,
    folds: Sequence[tuple[Rows, Rows]],
    predictions: Sequence[Predictions],
) -> list[float]:
    """Scores in the folds."""
    return [
        score(classifier.labels[test], predicted, classifier.label)
        for (_, test), predicted in zip(folds, predictions, strict=True)
    ]


def _folds(classifier: Classifier, rows: Rows, owners: Rows | None) -> list[tuple[Rows, Rows]]:
    labels = classifier.labels[rows]
    within = None if owners is None else owners[rows]
    if most_folds(labels, within, classifier.label) < INNER_FOLDS:
        return []
    pairs = divide(labels, within, INNER_FOLDS, classifier.seed)
    return [(rows[train], rows[test]) for train, test in pairs]


def _mean(values: list[float]) -> float:
    """Over the folds where the score is defined: one that lacks a class may have none."""
    defined = [value for value in values if not math.isnan(value)]
    return fmean(defined) if defined else math.nan


def _faster(settings: BoostingSettings) -> BoostingSettings:
    trees = math.ceil(settings.n_estimators / FASTER)
    return replace(
        settings, n_estimators=trees, learning_rate=min(1.0, FASTER * settings.learning_rate)
    )
