"""The content of evaluation.json, from predictions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grap_seq.evaluation.boosting import caveats, group
from grap_seq.evaluation.classifier import Classifier, Seeded
from grap_seq.evaluation.combine import Combined
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.outcome import UNDEFINED, Outcome, cross_validated, difference, held_out
from grap_seq.evaluation.plan import Plan
from grap_seq.evaluation.scores import Labels, calibration, further_scores
from grap_seq.schema import SPLITS, Label

NO_DIGITS = str.maketrans("", "", "0123456789")


@dataclass(frozen=True)
class Predictions:
    """Predictions (seeds, predicted rows, label.outputs) of every part of a plan.

    Attributes:
        main: By row of the table: "embedding", "aggregates", "both", "untrained", ...
        poolings: By pooling of the embedding.
        combined: How "both" came about.
    """

    main: dict[str, list[Seeded]]
    poolings: dict[str, list[Seeded]]
    combined: Combined


def describe(
    data: Labelled, plan: Plan, classifier: Classifier, predictions: Predictions
) -> dict[str, Any]:
    """What evaluation.json says; None instead of NaN, which JSON does not have."""
    main, pooled = (
        {name: _outcome(data, plan, parts, classifier.seed) for name, parts in some.items()}
        for some in (predictions.main, predictions.poolings)
    )
    constant = [name for name, parts in predictions.main.items() if _constant(parts)]
    scored = data.labels[np.concatenate([part.test for part in plan.parts])]
    holdout = not plan.folds
    result = {
        "dataset": data.schema.name,
        "metric": data.label.metric,
        "protocol": plan.name,
        "test": {name: outcome.test for name, outcome in main.items()},
        "std": {name: outcome.std for name, outcome in main.items()},
        "std_of": "bootstrap resamples of the test sequences" if holdout else "folds",
        "validation": {name: o.validation for name, o in main.items()} if holdout else None,
        "folds": None if holdout else {name: o.samples.tolist() for name, o in main.items()},
        "differences": _differences(main, constant),
        "constant": constant,
        "further": {name: _further(data, plan, found) for name, found in predictions.main.items()},
        "calibration": _calibration(scored, plan, predictions.main) if data.label.classes else None,
        "combination": {
            "chosen": predictions.combined.ways,
            "shares": predictions.combined.shares,
            "inner": predictions.combined.inner,
        },
        "chance": _chance(scored, data.label),
        "pooling": data.pooling,
        "poolings": {
            name: {"test": o.test, "std": o.std, "validation": o.validation}
            for name, o in pooled.items()
        },
        "label": data.label.name,
        "classes": list(data.label.classes),
        "local_labels": data.schema.local_labels,
        "n_labelled": {split: len(data.rows(split)) for split in SPLITS},
        "n_scored": len(scored),
        "seed": classifier.seed,
        "classifier": asdict(classifier.settings) | {"seeds": classifier.seeds},
        "notes": _notes(data, plan, classifier, constant),
    }
    content: dict[str, Any] = _without_nan(result)
    return content


def _outcome(data: Labelled, plan: Plan, predictions: list[Seeded], seed: int) -> Outcome:
    if plan.folds:
        labels = [data.labels[part.test] for part in plan.parts]
        return cross_validated(labels, [found.mean(axis=0) for found in predictions], data.label)
    (part,), (found,) = plan.parts, predictions
    test, validation = np.split(found, [len(part.test)], axis=1)
    return held_out(
        (data.labels[part.validation], validation.mean(axis=0)),
        (data.labels[part.test], test),
        data.label,
        seed,
        None if data.owners is None else data.owners[part.test],
    )


def _differences(main: dict[str, Outcome], constant: list[str]) -> dict[str, Any]:
    """Paired differences; undefined where one side could not learn anything."""
    pairs = [(name, "aggregates") for name in main if name != "aggregates"]
    pairs.append(("embedding", "untrained"))
    found = {}
    for first, second in pairs:
        gap = difference(main[first], main[second])
        found[f"{first} - {second}"] = asdict(UNDEFINED if {first, second} & set(constant) else gap)
    return found


def _constant(predictions: list[Seeded]) -> bool:
    """Whether some part's classifiers predict the same for all sequences: no tree could split."""
    return any(bool((np.ptp(found, axis=1) == 0).all()) for found in predictions)


def _chance(labels: Labels, label: Label) -> float:
    """Score without any knowledge of the sequences: a coin, or what is best for all alike."""
    if label.metric == "accuracy":
        return float(np.bincount(labels).max() / len(labels))
    if label.metric == "mae":
        return float(-np.abs(labels - np.median(labels)).mean() * label.std)
    return 0.5 if label.metric == "auc" else 0.0


def _calibration(
    labels: Labels, plan: Plan, predictions: dict[str, list[Seeded]]
) -> dict[str, dict[str, list[float]]]:
    pairs = predictions.items()
    return {name: calibration(labels, _of_test(plan, found)) for name, found in pairs}


def _of_test(plan: Plan, predictions: list[Seeded]) -> Any:
    pairs = zip(plan.parts, predictions, strict=True)
    return np.concatenate([found.mean(axis=0)[: len(part.test)] for part, found in pairs])


def _further(data: Labelled, plan: Plan, predictions: list[Seeded]) -> dict[str, float]:
    """Means over the parts for which a score is defined."""
    scores: dict[str, list[float]] = {}
    for part, found in zip(plan.parts, predictions, strict=True):
        of_test = found.mean(axis=0)[: len(part.test)]
        for name, value in further_scores(data.labels[part.test], of_test, data.label).items():
            scores.setdefault(name, []).extend([] if math.isnan(value) else [value])
    return {name: float(np.mean(v)) if v else math.nan for name, v in scores.items()}


def _notes(data: Labelled, plan: Plan, classifier: Classifier, constant: list[str]) -> list[str]:
    notes = list(plan.notes)
    for part in plan.parts:
        for rows in (part.test, part.validation):
            if len(rows):
                fitted, scored = data.labels[part.fit], data.labels[rows]
                notes += caveats(fitted, scored, data.label, classifier.settings)
    if constant:
        notes.append(
            f"No tree of a fit on {', '.join(constant)} could split: its predictions are all the "
            "same, so there is nothing to compare. Lower "
            f"boosting.{group(data.label)}.min_data_in_leaf."
        )
    # Folds of sizes that differ by one would say the same several times.
    unique = {note.translate(NO_DIGITS): note for note in reversed(notes)}
    return list(unique.values())[::-1]


def _without_nan(value: Any) -> Any:
    """The same content with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
