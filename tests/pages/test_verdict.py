"""The sentences about scores, by example."""

from __future__ import annotations

from typing import Any

import pytest

from grap_seq.pages import verdict
from tests.pages.fake import evaluation, gap

UNKNOWN = {"mean": None, "error": None, "low": None, "high": None}


def gaps(embedding: tuple[float, float], both: tuple[float, float]) -> dict[str, Any]:
    more = {"embedding - aggregates": gap(*embedding), "both - aggregates": gap(*both)}
    differences: dict[str, Any] = evaluation()["differences"]
    return differences | more


@pytest.mark.parametrize(
    ("mean", "margin", "expected"),
    [
        (0.05, 0.04, "above"),
        (0.03, 0.04, "level"),
        (-0.03, 0.04, "level"),
        (-0.05, 0.04, "below"),
        (0.0, 0.0, "level"),
    ],
)
def test_a_difference_is_one_where_the_interval_leaves_out_zero(
    mean: float, margin: float, expected: str
) -> None:
    assert verdict.verdict(gap(mean, margin)) == expected


def test_undefined_differences() -> None:
    assert verdict.verdict(UNKNOWN) == "unknown"
    assert verdict.verdict({**gap(0.1, 0.05), "low": None}) == "unknown"


@pytest.mark.parametrize(
    ("embedding", "both", "expected"),
    [
        ((0.05, 0.02), (0.06, 0.02), "Embeddings beat plain aggregates, alone and together with"),
        ((0.05, 0.02), (0.06, 0.07), "Embeddings alone beat plain aggregates."),
        ((0.01, 0.02), (0.06, 0.02), "Embeddings add to plain aggregates; alone they cannot be"),
        ((0.01, 0.02), (0.01, 0.02), "Embeddings and plain aggregates cannot be told apart."),
        ((-0.05, 0.02), (0.06, 0.02), "Embeddings add to plain aggregates, but do not replace"),
        ((-0.05, 0.02), (-0.01, 0.02), "Plain aggregates are ahead of these embeddings."),
        ((-0.05, 0.02), (-0.05, 0.02), "Plain aggregates are ahead of these embeddings."),
    ],
)
def test_headline(embedding: tuple[float, float], both: tuple[float, float], expected: str) -> None:
    result = evaluation(differences=gaps(embedding, both))
    assert verdict.headline(result, labelled=True).startswith(expected)


def test_headline_of_undefined_scores() -> None:
    named = dict.fromkeys(evaluation()["differences"], UNKNOWN)
    found = verdict.headline(evaluation(differences=named), labelled=True)
    assert found.startswith("Too few labels")


@pytest.mark.parametrize("name", ["embedding", "aggregates"])
def test_no_headline_where_nothing_splits(name: str) -> None:
    found = verdict.headline(evaluation(constant=[name]), labelled=True)
    assert found.startswith("No comparison: no tree of LightGBM could split")


def test_headline_without_scores() -> None:
    assert "no labels" in verdict.headline(None, labelled=False)
    assert "not scored yet" in verdict.headline(None, labelled=True)


def test_scores() -> None:
    assert verdict.scores(evaluation()) == (
        "LightGBM predicts churn from the embeddings with an AUC of 0.810, from plain aggregates "
        "with 0.800. Both together reach 0.850, which is 0.050 above aggregates alone (between "
        "+0.030 and +0.070). Without training the same encoder reaches 0.760; trained, it is 0.050 "
        "above that (between +0.030 and +0.070). Chance is 0.500."
    )
    nothing = dict.fromkeys(evaluation()["test"])
    assert "an undefined value" in verdict.scores(evaluation(test=nothing))


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (gap(-0.05, 0.02), "is 0.050 below that (between \N{MINUS SIGN}0.070 and "),
        (
            gap(0.01, 0.02),
            "cannot be told apart from that (between \N{MINUS SIGN}0.010 and +0.030)",
        ),
        (UNKNOWN, "cannot be compared with that"),
    ],
)
def test_compared(difference: dict[str, Any], expected: str) -> None:
    assert verdict.compared(difference, "that").startswith(expected)


def test_protocol_of_holdout() -> None:
    text = verdict.protocol(evaluation())
    assert "180 labelled training sequences with 3 seeds, scored on 110 test sequences" in text
    several = verdict.protocol(evaluation(local_labels=True))
    assert "180 labels of training sequences" in several
    assert "scored on 110 labels of test sequences" in several


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ({}, "here too; their labels chose loss weights, those of validation the epoch."),
        ({"encoder": None}, "here too; those of validation the epoch."),
        ({"encoder": None, "epoch": "loss"}, "here too; their labels had no part in it."),
        ({"encoder": "gradient"}, "No sequence is among them whose label the encoder has learned."),
    ],
)
def test_protocol_of_folds_says_what_was_seen(used: dict[str, Any], expected: str) -> None:
    content = evaluation(folds=True)
    content["labels_used"] |= used
    text = verdict.protocol(content)
    assert text.startswith("5-fold cross-validation over 340 labelled sequences")
    assert text.endswith(expected)


def test_combination() -> None:
    assert verdict.combination(evaluation()) == (
        "Both together are the mean of the two classifiers' probabilities, chosen on the training "
        "rows."
    )
    text = verdict.combination(evaluation(folds=True))
    assert "probabilities (3 folds); one classifier on the embedding's principal" in text
    assert text.endswith("(2 folds).")


def test_shares_of_an_average_that_are_not_halves() -> None:
    several, one = evaluation(folds=True), evaluation()
    # Those of the last two belong to folds with another way.
    several["combination"]["shares"] = [0.5, 0.2, 0.3, 0.0, 1.0]
    assert "probabilities, 0.2 to 0.5 of it the embedding's (3 folds);" in verdict.combination(
        several
    )
    one["combination"]["shares"] = [0.1]
    assert "probabilities, 0.1 of it the embedding's, chosen on" in verdict.combination(one)
    # As it was before there were any.
    del one["combination"]["shares"]
    assert "probabilities, chosen on" in verdict.combination(one)
