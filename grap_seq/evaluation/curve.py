"""Scores as labels get fewer: the curve on which pretraining should win first.

For every share of the labels, several random parts of the rows that are fitted on are drawn, each
class (nearly) in proportion, and classifiers on all sets of features are fitted on them. They are
scored on the same test rows throughout. The parts of a draw are nested: more labels are the same
ones and others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

import numpy as np

from grap_seq.evaluation.classifier import Classifier, Seeded
from grap_seq.evaluation.features import Rows
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.plan import Part, Plan
from grap_seq.evaluation.predict import predict
from grap_seq.evaluation.scores import score

DRAWS = 5
"""Random parts for each share; one for all labels."""


def label_curve(
    data: Labelled,
    plan: Plan,
    classifier: Classifier,
    fractions: Sequence[float],
    used: LabelsUsed | None,
) -> dict[str, Any]:
    """The curve over shares of the labels.

    Args:
        data: The labelled sequences.
        plan: What all labels would be fitted on, and what is scored.
        classifier: Settings; where rows are few, its leaves are smaller.
        fractions: Shares in (0, 1].
        used: How the run used labels.

    Returns:
        fractions: The shares, ascending.
        fitted: Mean number of rows that a classifier is fitted on, for each.
        draws: Number of random parts, for each.
        scores: By set of features, for each share: the score of every draw, a mean over folds.
        differences: "embedding - aggregates" and so on, for each share: mean and deviation over
            the draws.
        notes: What a reader must know, in sentences.

    Raises:
        ValueError: A share outside (0, 1] or one that leaves a single class; an encoder that has
            learned all labels.
    """
    if used is None or used.encoder == "gradient":
        raise ValueError(
            "label_fractions compares encoders that have learned no label, and this one has (or an "
            "older version made it): train with labels.fraction instead, one run a share"
        )
    shares = sorted(set(fractions))
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"label_fractions={share}: give shares of the labels in (0, 1]")
    draws = [1 if share == 1 else DRAWS for share in shares]
    parts = [
        part._replace(fit=drawn(data, part.fit, share, (classifier.seed, draw, number)))
        for share, count in zip(shares, draws, strict=True)
        for draw in range(count)
        for number, part in enumerate(plan.parts)
    ]
    found, _ = predict(data, parts, replace(classifier, seeds=1, few=True))
    scores = {name: _by_share(data, parts, of, draws) for name, of in found.items()}
    size = len(plan.parts)
    fitted = [float(np.mean([len(part.fit) for part in some])) for some in _cut(parts, draws, size)]
    return {
        "fractions": shares,
        "fitted": fitted,
        "draws": draws,
        "scores": scores,
        "differences": {
            f"{name} - aggregates": _differences(scores[name], scores["aggregates"])
            for name in scores
            if name != "aggregates"
        },
        "notes": _notes(used),
    }


def drawn(data: Labelled, rows: Rows, share: float, seed: Sequence[int]) -> Rows:
    """A random part of some rows, ascending; a larger share holds every smaller one.

    Of each class its share, rounded; of numbers, and of sequences with several labels (which stay
    together), the share of all.

    Raises:
        ValueError: Fewer than two classes are left.
    """
    if share == 1:
        return rows
    rng = np.random.default_rng(seed)
    if data.owners is not None:
        owners = rng.permutation(np.unique(data.owners[rows]))
        kept = owners[: max(1, round(share * len(owners)))]
        chosen = rows[np.isin(data.owners[rows], kept)]
    elif data.label.classes:
        strata = [rows[data.labels[rows] == code] for code in range(len(data.label.classes))]
        firsts = [rng.permutation(some)[: _rounded(share * len(some))] for some in strata]
        chosen = np.sort(np.concatenate(firsts))
    else:
        chosen = np.sort(rng.permutation(rows)[: max(2, _rounded(share * len(rows)))])
    _check_classes(data, rows, chosen, share)
    return chosen


def _rounded(value: float) -> int:
    """A half is rounded up: Python's own rounding would go to the even number."""
    return math.floor(value + 0.5)


def _check_classes(data: Labelled, rows: Rows, chosen: Rows, share: float) -> None:
    left = np.unique(data.labels[chosen])
    if not data.label.classes or len(left) > 1:
        return
    counts = np.sort(np.bincount(data.labels[rows], minlength=2))
    remedy = "give a larger one"
    if data.owners is None:
        smallest = math.ceil(1e4 * 0.5 / counts[-2]) / 1e4
        remedy = f"the smallest usable one is {smallest:g}"
    names = ", ".join(data.label.classes[code] for code in left)
    raise ValueError(
        f"label_fractions={share:g} of {len(rows)} labels leaves {len(chosen)}, all of class "
        f"{names}: {remedy}"
    )


def _cut(values: Sequence[Any], draws: Sequence[int], size: int) -> list[list[Any]]:
    """Values of every share: `size` (the parts of a plan) for each of its draws."""
    ends = np.cumsum([0, *draws]) * size
    return [list(values[a:b]) for a, b in pairwise(ends)]


def _by_share(
    data: Labelled, parts: Sequence[Part], found: Sequence[Seeded], draws: Sequence[int]
) -> list[list[float | None]]:
    values = [
        score(data.labels[part.test], predicted.mean(axis=0)[: len(part.test)], data.label)
        for part, predicted in zip(parts, found, strict=True)
    ]
    size = len(parts) // sum(draws)
    return [
        [_mean(of_share[start : start + size]) for start in range(0, len(of_share), size)]
        for of_share in _cut(values, draws, size)
    ]


def _mean(values: Sequence[float]) -> float | None:
    """Over the folds where the score is defined."""
    defined = [value for value in values if not math.isnan(value)]
    return fmean(defined) if defined else None


def _differences(
    first: Sequence[Sequence[float | None]], second: Sequence[Sequence[float | None]]
) -> list[dict[str, float | None]]:
    found = []
    for one, other in zip(first, second, strict=True):
        pairs = zip(one, other, strict=True)
        gaps = [a - b for a, b in pairs if a is not None and b is not None]
        mean = fmean(gaps) if gaps else None
        found.append({"mean": mean, "std": stdev(gaps) if len(gaps) > 1 else None})
    return found


def _notes(used: LabelsUsed) -> tuple[str, ...]:
    what = [
        *(["the weights of the losses"] if used.encoder == "weights" else []),
        *(["the kept epoch"] if used.epoch == "probe" else []),
    ]
    if not what:
        return ()
    return (
        f"Labels beyond the share chose {' and '.join(what)} of the encoder; a run with "
        "labels.fraction has seen no others.",
    )
