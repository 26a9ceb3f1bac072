"""The sentences of the report about training and data: pure functions from numbers to English.

They say what was found, for a reader who looks at nothing else. Those about scores: `verdict.py`.
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


# Names that a sentence lists.
MOST_NAMES = 12


def listing(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"; of many, the first and "88 others"."""
    *first, last = names
    if len(first) > MOST_NAMES:
        first, last = first[:MOST_NAMES], f"{len(first) + 1 - MOST_NAMES:,} others"
    return f"{', '.join(first)} and {last}" if first else last


def shown(count: int, most: int, which: str) -> str:
    """Which of many losses a figure shows; nothing where it shows all."""
    return f"The {most} of {count:,} losses that {which}. " if count > most else ""


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
