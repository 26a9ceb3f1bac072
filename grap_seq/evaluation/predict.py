"""Predictions from the four sets of features that every evaluation compares."""

from __future__ import annotations

from collections.abc import Sequence

from grap_seq.evaluation.classifier import Classifier, Seeded
from grap_seq.evaluation.combine import Combined, combine, fit_alone
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.plan import Part


def predict(
    data: Labelled, parts: Sequence[Part], classifier: Classifier
) -> tuple[dict[str, list[Seeded]], Combined]:
    """What classifiers on each set predict for every part.

    Returns:
        By "embedding", "aggregates", "both" and "untrained": (seeds, predicted rows,
        label.outputs) of every part; and how "both" came about.
    """
    names = ("embedding", "aggregates")
    embedding, aggregates = (
        fit_alone(classifier, data.features[name], parts, name, data.owners) for name in names
    )
    combined = combine(classifier, parts, embedding, aggregates, data.owners)
    control = classifier.bins(data.features["untrained"], parts)
    return {
        "embedding": embedding.predictions,
        "aggregates": aggregates.predictions,
        "both": combined.predictions,
        "untrained": classifier.predictions(control, parts, "untrained"),
    }, combined
