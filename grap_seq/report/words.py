"""The sentences of the report: pure functions from numbers to English.

A difference is called one only when it exceeds twice its standard error (about 95 %); everything
else is "level". The sentences say what was found, for a reader who looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd

from grap_seq.schema import Label
from grap_seq.weighting.watch import NEAR_ZERO

Fate = Literal["rose", "held", "fell", "vanished"]
NO_WEIGHTS = (
    "The run has no weights.parquet: `grap-seq pretrain` writes it while it runs; training by the"
    " label alone has no weights."
)
METRIC_NAMES = {"auc": "AUC", "accuracy": "accuracy"}


def listing(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def verdict(gap: Mapping[str, Any]) -> Literal["above", "level", "below", "unknown"]:
    """Where a score stands, given its paired difference {"mean", "error"} to another."""
    if gap["mean"] is None or gap["error"] is None:
        return "unknown"
    if abs(gap["mean"]) <= 2 * gap["error"]:
        return "level"
    return "above" if gap["mean"] > 0 else "below"


def headline(evaluation: Mapping[str, Any] | None, labelled: bool) -> str:
    """What the run showed, in one sentence."""
    if not labelled:
        return "Embeddings without a judge: this dataset has no labels."
    if evaluation is None:
        return "Embeddings not scored yet."
    gaps = evaluation["differences"]
    alone = verdict(gaps["embedding - aggregates"])
    adds = verdict(gaps["both - aggregates"]) == "above"
    return {
        ("above", True): "Embeddings beat plain aggregates, alone and together with them.",
        ("above", False): "Embeddings alone beat plain aggregates.",
        ("level", True): "Embeddings match plain aggregates, and add to them.",
        ("level", False): "Embeddings match plain aggregates.",
        ("below", True): "Embeddings add to plain aggregates, but do not replace them.",
        ("below", False): "Plain aggregates are ahead of these embeddings.",
        ("unknown", True): "Embeddings add to plain aggregates.",
        ("unknown", False): "Too few labels to compare embeddings with plain aggregates.",
    }[alone, adds]


def scores(evaluation: Mapping[str, Any]) -> str:
    """The three scores, as a sentence or two under the headline."""
    test, metric = evaluation["test"], METRIC_NAMES[evaluation["metric"]]
    embedding, aggregates, both = (_score(test[k]) for k in ("embedding", "aggregates", "both"))
    kind = verdict(evaluation["differences"]["both - aggregates"])
    gain = evaluation["differences"]["both - aggregates"]
    addition = {
        "level": "level with aggregates alone",
        "unknown": "not comparable with aggregates alone",
        "above": f"{gain['mean'] or 0:.3f} more than aggregates alone",
        "below": f"{-(gain['mean'] or 0):.3f} less than aggregates alone",
    }[kind]
    return (
        f"LightGBM predicts {evaluation['label']} from the embeddings with {_article(metric)} "
        f"{metric} of {embedding}, from plain aggregates with {aggregates}. Both together reach "
        f"{both}, {addition}. Chance is {_score(evaluation['chance'])}."
    )


def protocol(evaluation: Mapping[str, Any]) -> str:
    """How the scores were made, and what their error bars are."""
    counts = evaluation["n_labelled"]
    labelled, of_test = "labelled", "test sequences"
    # An evaluation of an older version has no such entry.
    if evaluation.get("local_labels"):
        labelled, of_test = "labels of", "labels of test sequences"
    if evaluation["protocol"] == "holdout":
        return (
            f"Fitted on {counts['train']:,} {labelled} training sequences, scored on "
            f"{counts['test']:,} {of_test}; bars are one standard error, from resampling the "
            "test sequences."
        )
    return (
        f"{evaluation['protocol']} cross-validation over {sum(counts.values()):,} {labelled} "
        "sequences of all splits; bars are one standard deviation over the folds. Pretraining saw "
        "the training split's sequences, which are in test folds here too; their labels chose "
        "learned loss weights, those of validation the best epoch."
    )


def fate(weight: float, equal: float) -> Fate:
    """What became of a loss weight: 25 % above or 20 % below equal weights is a change."""
    if weight < NEAR_ZERO * equal:
        return "vanished"
    if weight < 0.8 * equal:
        return "fell"
    return "rose" if weight > 1.25 * equal else "held"


def fates(weights: pd.DataFrame) -> dict[str, Fate]:
    """Fate of every loss, the largest final weight first; rows are steps, columns losses."""
    # The first logged step is not the first step, but the mean of the weights does not move.
    equal = float(weights.iloc[0].mean())
    end = weights.iloc[-1].sort_values(ascending=False, kind="stable")
    return {str(name): fate(float(weight), equal) for name, weight in end.items()}


def trajectories(weights: pd.DataFrame) -> str:
    """Which losses rose, which fell and which vanished."""
    grouped: dict[Fate, list[str]] = {"rose": [], "held": [], "fell": [], "vanished": []}
    for name, kind in fates(weights).items():
        value = f" ({weights[name].iloc[-1]:.2f})" if kind != "vanished" else ""
        grouped[kind].append(name + value)
    parts = []
    if grouped["rose"]:
        parts.append(f"{listing(grouped['rose'])} rose")
    if grouped["held"]:
        parts.append(f"{listing(grouped['held'])} stayed near the start")
    if grouped["fell"]:
        parts.append(f"{listing(grouped['fell'])} fell")
    if grouped["vanished"]:
        parts.append(f"{listing(grouped['vanished'])} fell to zero")
    return "; ".join(parts) + "."


def alignment(cosines: pd.DataFrame) -> str:
    """Which losses pull the encoder the way the downstream loss would; rows are logged steps."""
    mean, error = cosines.mean(), cosines.sem()
    clear = mean[mean.abs() > 2 * error].sort_values(ascending=False)
    helps, hinders = clear[clear > 0], clear[clear < 0][::-1]
    sentences = []
    if len(helps):
        named = listing(f"{name} ({value:.3f})" for name, value in helps.head(3).items())
        sentences.append(f"Most aligned with the downstream gradient: {named}.")
    if len(hinders):
        named = listing(f"{name} ({value:.3f})" for name, value in hinders.head(3).items())
        sentences.append(f"Against it: {named}.")
    unclear = len(mean) - len(clear)
    if unclear == len(mean):
        sentences.append("No loss's cosine can be told from zero.")
    elif unclear:
        sentences.append(f"{unclear} of {len(mean)} cannot be told from zero.")
    return " ".join(sentences)


def constant(weighting: str | None) -> str:
    """Why no trajectory is drawn."""
    return (
        f"With weighting={weighting} the weights are constant, so there is no trajectory; "
        "weighting=grap learns them."
    )


def data(splits: Mapping[str, Mapping[str, Any]], label: Label | None) -> str:
    """Size of the data, from the manifest's counts per split."""
    sequences, events, labelled = (
        sum(split[key] for split in splits.values()) for key in ("sequences", "events", "labelled")
    )
    text = f"{sequences:,} sequences with {events:,} events"
    if labelled and label is not None:
        what = f"a label of {len(label.classes)} classes" if label.classes else "a number as label"
        text += f"; {labelled:,} ({labelled / sequences:.0%}) carry {what}"
    return f"{text}."


def picture(points: int, sequences: int, components: int) -> str:
    """How the picture of the embeddings was made."""
    which = f"{points:,} of {sequences:,} sequences, drawn at random"
    if points == sequences:
        which = f"All {sequences:,} sequences"
    return (
        f"{which}. {components} principal components, then t-SNE: neighbours are alike, distances "
        "between groups mean nothing."
    )


def _score(value: float | None) -> str:
    return "an undefined value" if value is None else f"{value:.3f}"


def _article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" else "a"
