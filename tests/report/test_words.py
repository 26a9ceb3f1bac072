"""The sentences, by example."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from grap_seq.report import words
from grap_seq.schema import Label
from tests.report.fake import evaluation, trajectory


def gaps(embedding: tuple[float, float], both: tuple[float, float]) -> dict[str, Any]:
    named = {"embedding - aggregates": embedding, "both - aggregates": both}
    return {key: {"mean": mean, "error": error} for key, (mean, error) in named.items()}


def test_listing() -> None:
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b"]) == "a and b"
    assert words.listing(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("mean", "error", "expected"),
    [
        (0.05, 0.02, "above"),
        (0.03, 0.02, "level"),
        (-0.03, 0.02, "level"),
        (-0.05, 0.02, "below"),
        (None, 0.02, "unknown"),
        (0.05, None, "unknown"),
    ],
)
def test_verdict_needs_two_standard_errors(
    mean: float | None, error: float | None, expected: str
) -> None:
    assert words.verdict({"mean": mean, "error": error}) == expected


@pytest.mark.parametrize(
    ("embedding", "both", "expected"),
    [
        ((0.05, 0.01), (0.06, 0.01), "Embeddings beat plain aggregates, alone and together with"),
        ((0.01, 0.01), (0.06, 0.01), "Embeddings match plain aggregates, and add to them."),
        ((0.01, 0.01), (0.01, 0.01), "Embeddings match plain aggregates."),
        ((-0.05, 0.01), (0.06, 0.01), "Embeddings add to plain aggregates, but do not replace"),
        ((-0.05, 0.01), (-0.01, 0.01), "Plain aggregates are ahead of these embeddings."),
        ((-0.05, 0.01), (-0.05, 0.01), "Plain aggregates are ahead of these embeddings."),
    ],
)
def test_headline(embedding: tuple[float, float], both: tuple[float, float], expected: str) -> None:
    result = evaluation(differences=gaps(embedding, both))
    assert words.headline(result, labelled=True).startswith(expected)


def test_headline_of_undefined_scores() -> None:
    unknown = {"mean": None, "error": None}
    named = {"embedding - aggregates": unknown, "both - aggregates": unknown}
    assert words.headline(evaluation(differences=named), labelled=True).startswith("Too few labels")


def test_headline_without_scores() -> None:
    assert "no labels" in words.headline(None, labelled=False)
    assert "not scored yet" in words.headline(None, labelled=True)


def test_scores() -> None:
    assert words.scores(evaluation()) == (
        "LightGBM predicts churn from the embeddings with an AUC of 0.810, from plain aggregates "
        "with 0.800. Both together reach 0.850, 0.050 more than aggregates alone. Chance is 0.500."
    )
    undefined = evaluation(test={"embedding": None, "aggregates": None, "both": None})
    assert "an undefined value" in words.scores(undefined)


def test_protocol() -> None:
    assert "180 labelled training sequences, scored on 110" in words.protocol(evaluation())
    several = words.protocol(evaluation(local_labels=True))
    assert "180 labels of training sequences, scored on 110 labels of test" in several
    text = words.protocol(evaluation(folds=True))
    assert text.startswith("5-fold cross-validation over 340 labelled sequences")


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(3.0, "rose"), (1.2, "held"), (0.85, "held"), (0.7, "fell"), (0.04, "vanished")],
)
def test_fate(weight: float, expected: str) -> None:
    assert words.fate(weight, 1.0) == expected
    assert words.fate(10 * weight, 10.0) == expected


def test_trajectories() -> None:
    frame = trajectory().filter(like="weight/").rename(columns=lambda n: n.removeprefix("weight/"))
    assert words.trajectories(frame) == (
        "shop (3.00) rose; amount (1.10) stayed near the start; score (0.50) and time (0.40) fell; "
        "coles fell to zero."
    )


def test_alignment() -> None:
    frame = trajectory().filter(like="cosine/").rename(columns=lambda n: n.removeprefix("cosine/"))
    text = words.alignment(frame)
    assert "Most aligned with the downstream gradient: shop (0.050) and amount (0.020)." in text
    assert "Against it: coles (-0.010)." in text
    assert "2 of 5 cannot be told from zero." in text
    noise = pd.DataFrame({"a": [0.1, -0.1, 0.1, -0.1]})
    assert words.alignment(noise) == "No loss's cosine can be told from zero."


def test_constant_weights() -> None:
    assert "weighting=equal the weights are constant" in words.constant("equal")


def test_data() -> None:
    split = {"sequences": 1000, "events": 50_000, "labelled": 500}
    label = Label("churn", "auc", ("no", "yes"))
    assert words.data({"train": split, "test": split}, label) == (
        "2,000 sequences with 100,000 events; 1,000 (50%) carry a label of 2 classes."
    )
    assert words.data({"train": {**split, "labelled": 0}}, None) == (
        "1,000 sequences with 50,000 events."
    )
    assert words.data({"train": split}, Label("age", "r2")).endswith("carry a number as label.")


def test_picture() -> None:
    assert words.picture(2000, 8000, 50).startswith("2,000 of 8,000 sequences, drawn at random.")
    assert words.picture(300, 300, 50).startswith("All 300 sequences.")
