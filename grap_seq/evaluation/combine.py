"""Embeddings and aggregates together: three ways, of which the training rows choose one.

- averaged: the mean of what the two classifiers predict;
- components: one classifier on the first principal components of the embedding and the aggregates;
- concatenated: one classifier on all columns of both.

The hundreds of columns of an embedding leave few draws for the aggregates where a tree sees a share
of the columns, so plain concatenation can be worse than either alone. Which way is best depends on
the data. It is chosen for every part of a plan by folds inside the rows that the part is fitted on:
averaging, unless another way wins in each of them. Their classifiers have fewer trees that learn
faster, because only the order of the ways counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grap_seq.evaluation.boosting import BoostingSettings, Features
from grap_seq.evaluation.classifier import Classifier, Job, Seeded
from grap_seq.evaluation.plan import Part, Rows, divide, most_folds
from grap_seq.evaluation.scores import Predictions, score

WAYS = ("averaged", "components", "concatenated")
COMPONENTS = 48
INNER_FOLDS = 3
FASTER = 4
"""The inner classifiers have a quarter of the trees, with four times the rate."""


@dataclass(frozen=True)
class Combined:
    """Predictions of both together.

    Attributes:
        predictions: (seeds, predicted rows, label.outputs) of every part.
        ways: The way of every part.
        inner: Mean score of every way over the inner folds, of every part; NaN where there were too
            few sequences to choose, and the way is "averaged".
    """

    predictions: list[Seeded]
    ways: list[str]
    inner: list[dict[str, float]]


def combine(
    classifier: Classifier,
    parts: Sequence[Part],
    features: tuple[Features, Features],
    alone: tuple[list[Seeded], list[Seeded]],
    owners: Rows | None = None,
) -> Combined:
    """Choose a way for every part and predict.

    Args:
        classifier: Labels and settings.
        parts: What is fitted and predicted.
        features: The embedding (N, E) and the aggregates (N, A).
        alone: What classifiers on each alone predict, for every part.
        owners: (N,) number of the sequence, where sequences have several rows.
    """
    embedding, aggregates = features
    whole = np.concatenate([embedding, aggregates], axis=1)
    joined = []
    for part in parts:
        reduced = components(embedding, part.fit, classifier.seed)
        both = np.concatenate([reduced, aggregates], axis=1)
        joined.append({"components": both, "concatenated": whole})
    sets = [{"embedding": embedding, "aggregates": aggregates, **more} for more in joined]
    inner = _inner_scores(classifier, [part.fit for part in parts], sets, owners)
    ways = [_choose(scores) for scores in inner]
    predictions = [(first + second) / 2 for first, second in zip(*alone, strict=True)]
    for number, (way, part) in enumerate(zip(ways, parts, strict=True)):
        if way != "averaged":
            found = classifier.predictions(joined[number][way], [part], "both", number)
            predictions[number] = found[0]
    means = [{way: _mean(values) for way, values in scores.items()} for scores in inner]
    return Combined(predictions, ways, means)


def _choose(scores: dict[str, list[float]]) -> str:
    """Averaging, unless another way wins in every fold: three are few, and averaging is safe."""
    averaged = scores["averaged"]
    better = [
        way
        for way in WAYS
        if averaged and all(s > a for s, a in zip(scores[way], averaged, strict=True))
    ]
    return max(better, key=lambda way: fmean(scores[way]), default="averaged")


def components(embedding: Features, fitted: Rows, seed: int) -> Features:
    """Principal components (N, at most 48) of the standardised embedding, found on some rows."""
    size = min(COMPONENTS, embedding.shape[1], len(fitted))
    steps = make_pipeline(StandardScaler(), PCA(size, random_state=seed))
    result: Features = steps.fit(embedding[fitted]).transform(embedding).astype(np.float32)
    return result


def _inner_scores(
    classifier: Classifier,
    fitted: Sequence[Rows],
    sets: Sequence[dict[str, Features]],
    owners: Rows | None,
) -> list[dict[str, list[float]]]:
    """Scores of every way in folds inside the fitted rows of each part."""
    folds = [_folds(classifier, rows, owners) for rows in fitted]
    jobs: list[Job] = [
        classifier.job(features, train, test, classifier.seed, _faster(classifier))
        for pairs, named in zip(folds, sets, strict=True)
        for train, test in pairs
        for features in named.values()
    ]
    done = iter(classifier.run(jobs, "both, to choose how"))
    result = []
    for pairs, named in zip(folds, sets, strict=True):
        scores: dict[str, list[float]] = {way: [] for way in WAYS}
        for _, test in pairs:
            found: dict[str, Predictions] = {name: next(done) for name in named}
            found["averaged"] = (found["embedding"] + found["aggregates"]) / 2
            for way in WAYS:
                scores[way].append(score(classifier.labels[test], found[way], classifier.label))
        result.append(scores)
    return result


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


def _faster(classifier: Classifier) -> BoostingSettings:
    settings = classifier.settings
    trees = math.ceil(settings.n_estimators / FASTER)
    return replace(
        settings, n_estimators=trees, learning_rate=min(1.0, FASTER * settings.learning_rate)
    )
