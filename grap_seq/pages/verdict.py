"""The sentences of the report about scores: pure functions from evaluation.json to English.

A difference is called one only when its 95 % interval leaves out zero; else the two "cannot be told
apart", which is not to say that they are equal: the interval says how far apart they may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

METRIC_NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "pr_auc": "PR-AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "f1": "F1",
    "r2": "R²",
    "mae": "negative mean error",
}
Verdict = Literal["above", "level", "below", "unknown"]


def verdict(gap: Mapping[str, Any]) -> Verdict:
    """Where a score stands, given its paired difference {"mean", "low", "high"} to another."""
    if gap["mean"] is None or gap["low"] is None:
        return "unknown"
    if gap["low"] <= 0 <= gap["high"]:
        return "level"
    return "above" if gap["mean"] > 0 else "below"


def headline(evaluation: Mapping[str, Any] | None, labelled: bool) -> str:
    """What the run showed, in one sentence."""
    if not labelled:
        return "Embeddings without a judge: this dataset has no labels."
    if evaluation is None:
        return "Embeddings not scored yet."
    if {"embedding", "aggregates"} & set(evaluation["constant"]):
        return "No comparison: no tree of LightGBM could split so few sequences."
    gaps = evaluation["differences"]
    alone = verdict(gaps["embedding - aggregates"])
    adds = verdict(gaps["both - aggregates"]) == "above"
    return {
        ("above", True): "Embeddings beat plain aggregates, alone and together with them.",
        ("above", False): "Embeddings alone beat plain aggregates.",
        ("level", True): "Embeddings add to plain aggregates; alone they cannot be told apart.",
        ("level", False): "Embeddings and plain aggregates cannot be told apart.",
        ("below", True): "Embeddings add to plain aggregates, but do not replace them.",
        ("below", False): "Plain aggregates are ahead of these embeddings.",
        ("unknown", True): "Embeddings add to plain aggregates.",
        ("unknown", False): "Too few labels to compare embeddings with plain aggregates.",
    }[alone, adds]


def scores(evaluation: Mapping[str, Any]) -> str:
    """The scores, as a few sentences under the headline."""
    test, metric = evaluation["test"], METRIC_NAMES[evaluation["metric"]]
    gaps = evaluation["differences"]
    return (
        f"LightGBM predicts {evaluation['label']} from the embeddings with {_article(metric)} "
        f"{metric} of {_score(test['embedding'])}, from plain aggregates with "
        f"{_score(test['aggregates'])}. Both together reach {_score(test['both'])}, which "
        f"{compared(gaps['both - aggregates'], 'aggregates alone')}. Without training the same "
        f"encoder reaches {_score(test['untrained'])}; trained, it "
        f"{compared(gaps['embedding - untrained'], 'that')}. Chance is "
        f"{_score(evaluation['chance'])}."
    )


def compared(gap: Mapping[str, Any], other: str) -> str:
    """What a difference to something says, as a predicate with its interval."""
    kind = verdict(gap)
    if kind == "unknown":
        return f"cannot be compared with {other}"
    between = f"(between {signed(gap['low'])} and {signed(gap['high'])})"
    if kind == "level":
        return f"cannot be told apart from {other} {between}"
    return f"is {abs(gap['mean']):.3f} {kind} {other} {between}"


def signed(value: float) -> str:
    """Three decimals with a sign, and a minus that is one."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def protocol(evaluation: Mapping[str, Any]) -> str:
    """How the scores were made, and what their error bars are."""
    counts, seeds = evaluation["n_labelled"], evaluation["classifier"]["seeds"]
    local = evaluation["local_labels"]
    of_training = "labels of" if local else "labelled"
    of_test = "labels of test sequences" if local else "test sequences"
    if evaluation["protocol"] == "holdout":
        return (
            f"Fitted on {counts['train']:,} {of_training} training sequences with {seeds} seeds, "
            f"scored on {evaluation['n_scored']:,} {of_test}; bars are one standard error, from "
            "resampling the test sequences and the seeds, as are the 95 % intervals."
        )
    return (
        f"{evaluation['protocol']} cross-validation over {evaluation['n_scored']:,} {of_training} "
        "sequences, another seed in each fold; bars are one standard deviation over the folds, "
        "95 % intervals those of Student's t, corrected for training parts that overlap. "
        f"{_seen(evaluation['labels_used'])}"
    )


def _seen(used: Mapping[str, Any]) -> str:
    """What pretraining knew of the sequences in test folds."""
    if used["encoder"] == "gradient":
        return "No sequence is among them whose label the encoder has learned."
    text = "Pretraining saw the training split's sequences, which are in test folds here too"
    weights = "their labels chose loss weights" if used["encoder"] == "weights" else ""
    epoch = "those of validation the epoch" if used["epoch"] == "probe" else ""
    labels = ", ".join(filter(None, (weights, epoch)))
    return f"{text}; {labels or 'their labels had no part in it'}."


def combination(evaluation: Mapping[str, Any]) -> str:
    """How embeddings and aggregates were put together."""
    names = {
        "averaged": f"the mean of the two classifiers' probabilities{_share(evaluation)}",
        "components": "one classifier on the embedding's principal components and the aggregates",
        "concatenated": "one classifier on all columns",
    }
    chosen = evaluation["combination"]["chosen"]
    counts = {way: chosen.count(way) for way in names if way in chosen}
    if len(counts) == 1:
        return f"Both together are {names[chosen[0]]}, chosen on the training rows."
    parts = (f"{names[way]} ({count} folds)" for way, count in counts.items())
    return f"Both together, chosen on the training rows of each fold: {'; '.join(parts)}."


def _share(evaluation: Mapping[str, Any]) -> str:
    """How much of the averages is the embedding's, where that is not half of all of them."""
    ways = evaluation["combination"]["chosen"]
    # Evaluations made before have halves.
    shares = evaluation["combination"].get("shares", [0.5] * len(ways))
    used = sorted({share for way, share in zip(ways, shares, strict=True) if way == "averaged"})
    if used in ([], [0.5]):
        return ""
    texts = [f"{share:.1f}" for share in dict.fromkeys((used[0], used[-1]))]
    return f", {' to '.join(texts)} of it the embedding's"


def _score(value: float | None) -> str:
    return "an undefined value" if value is None else f"{value:.3f}"


def _article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" else "a"
