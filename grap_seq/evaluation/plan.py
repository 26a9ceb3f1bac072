"""Which labelled sequences a classifier is fitted on, and which it predicts.

Holdout: fit on the training split, predict validation and test, as in the published tables.
Folds, for small data: stratified folds over all labelled sequences of the three splits.

An encoder that has learned labels is judged by sequences that it has not seen: folds are made of
those alone. In holdout the classifier is fitted on the training split all the same. It trusts the
embedding too much there, which can only lower the score; no label of a test sequence is involved.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from grap_seq.data.fraction import chosen
from grap_seq.evaluation.features import Rows
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.scores import Labels
from grap_seq.schema import SPLITS, Label

FOLDS = 5
FEW = 500
"""Labelled test sequences beside those of the most common class (of a number: half of them), below
which folds are made."""


class Part(NamedTuple):
    """Rows of one classifier: to fit on, to score, and of the validation split (in holdout)."""

    fit: Rows
    test: Rows
    validation: Rows

    @property
    def predicted(self) -> Rows:
        """The rows to predict: test, then validation."""
        return np.concatenate([self.test, self.validation])


@dataclass(frozen=True)
class Plan:
    """What is fitted and predicted.

    Attributes:
        folds: Number of folds; 0 for holdout.
        parts: One for each fold, or the one of holdout.
        notes: What a reader must know, in sentences.
    """

    folds: int
    parts: list[Part]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.folds}-fold" if self.folds else "holdout"


def make_plan(
    data: Labelled,
    used: LabelsUsed | None,
    folds: int | str,
    seed: int,
    within: Sequence[str] = SPLITS,
    *,
    all_labels: bool = False,
) -> Plan:
    """The plan of an evaluation.

    Args:
        data: The labelled sequences.
        used: How the run used labels; None: nobody knows.
        folds: 0 for holdout, a number of folds, or "auto": holdout where the test split is large
            (`FEW`) or the encoder has learned labels, else `FOLDS` folds.
        seed: Seed of the folds.
        within: Splits that folds are made of: without "test", settings can be chosen by them.
        all_labels: Fit on all labels, also where training saw a share of them.

    Raises:
        ValueError: A split lacks labels, or there are too few sequences for the folds.
    """
    if not within or not set(within) <= set(SPLITS):
        raise ValueError(f"within={list(within)}: give some of {', '.join(SPLITS)}")
    if folds == "auto":
        folds = _automatic(data, used)
    if not isinstance(folds, int) or isinstance(folds, bool):
        raise ValueError(f"folds={folds}: give auto, 0 or a number of folds")
    if folds:
        plan = _folds(data, used, folds, seed, within)
    elif len(set(within)) < len(SPLITS):
        raise ValueError(f"within={list(within)} is for folds; add folds=5")
    else:
        plan = _holdout(data, used)
    if all_labels or used is None or used.fraction == 1:
        return plan
    return _with_labels(data, used, plan)


def _with_labels(data: Labelled, used: LabelsUsed, plan: Plan) -> Plan:
    """The same, fitted on those labels alone that training saw."""
    kept = chosen(pa.array(data.ids), used.fraction)
    parts = [part._replace(fit=part.fit[kept[part.fit]]) for part in plan.parts]
    if min(len(np.unique(data.labels[part.fit])) for part in parts) < 2:
        raise ValueError(
            f"labels.fraction={used.fraction:g} of the run leaves fewer than two labels that "
            "differ to fit a classifier on; train with a larger one"
        )
    fitted = round(sum(len(part.fit) for part in parts) / len(parts))
    note = f"Fitted on {fitted:,} labels, the share of {used.fraction:g} that training saw."
    return Plan(plan.folds, parts, (*plan.notes, note))


def _automatic(data: Labelled, used: LabelsUsed | None) -> int:
    train, test = (data.labels[data.rows(split)] for split in ("train", "test"))
    most = most_folds(data.labels, data.owners, data.label)
    if most < 2:
        return 0
    if min(len(np.unique(part)) for part in (train, test)) < 2:
        return min(FOLDS, most)
    if used is None or used.encoder == "gradient":
        return 0
    common = np.bincount(test).max() if data.label.classes else len(test) // 2
    return 0 if len(test) - common >= FEW else min(FOLDS, most)


def _holdout(data: Labelled, used: LabelsUsed | None) -> Plan:
    for split in ("train", "test"):
        if not len(data.rows(split)):
            raise ValueError(
                f"{data.schema.name} has no labelled sequence in {split}; use folds=5, "
                "which divides all labelled sequences anew"
            )
    notes = []
    if used is not None and used.encoder == "gradient":
        seen = used.seen(data.ids, data.splits).sum()
        notes.append(
            f"The encoder has learned the labels of {seen:,} training sequences, on whose "
            "embeddings LightGBM is fitted here: it trusts them too much, which can lower the "
            "score. Test sequences are new to both."
        )
    return Plan(0, [Part(*(data.rows(name) for name in ("train", "test", "val")))], tuple(notes))


def _folds(
    data: Labelled, used: LabelsUsed | None, folds: int, seed: int, within: Sequence[str]
) -> Plan:
    if used is None:
        raise ValueError(
            "model.json does not say whether the encoder has learned labels, because an older "
            "version wrote it: train the run again, or use folds=0, which scores the "
            "test split alone"
        )
    seen = used.seen(data.ids, data.splits)
    rows = np.flatnonzero(~seen & np.isin(data.splits, list(within)))
    remedy = _remedy(used)
    if len(np.unique(data.labels[rows])) < 2:
        raise ValueError(
            f"folds={folds}: the {len(rows)} labelled sequences that can be scored "
            f"have fewer than two labels that differ. {remedy}"
        )
    owners = None if data.owners is None else data.owners[rows]
    largest = most_folds(data.labels[rows], owners, data.label)
    if not 2 <= folds <= largest:
        raise ValueError(
            f"folds={folds}: give 0 for the dataset's own splits, or a number from 2 to "
            f"{largest}, {_limit(data)} among the {len(rows)} labelled sequences that can be "
            f"scored. {remedy}"
        )
    notes = []
    if len(rows) < len(seen) - seen.sum():
        notes.append(f"Folds are made of {' and '.join(within)} alone.")
    if seen.any():
        notes.append(
            f"The encoder has learned the labels of {seen.sum():,} training sequences: folds are "
            f"made of the other {len(rows):,}. Those of the validation split chose the epoch."
        )
    pairs = divide(data.labels[rows], owners, folds, seed)
    none = np.zeros(0, np.intp)
    parts = [Part(rows[train], rows[test], none) for train, test in pairs]
    return Plan(folds, parts, tuple(notes))


def divide(labels: Labels, owners: Rows | None, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Stratified folds of some rows as pairs: the others, the fold.

    Args:
        labels: (N,) codes of a label; numbers are not stratified.
        owners: (N,) numbers of the sequences, where they have several rows. The labels of one
            sequence stay together: they are not independent.
        folds: Number of folds.
        seed: Seed of the order.
    """
    strata = labels if labels.dtype.kind == "i" else np.zeros(len(labels), int)
    kind = StratifiedKFold if owners is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # Of a class with fewer members than there are folds; `caveats` says what that means.
        warnings.simplefilter("ignore", UserWarning)
        return list(kind(folds, shuffle=True, random_state=seed).split(strata, strata, owners))


def most_folds(labels: Labels, owners: Rows | None, label: Label) -> int:
    """So many that no fold must lack a class that its score needs."""
    if owners is not None:
        return len(np.unique(owners))
    if not label.classes:
        return len(labels)
    counts = np.bincount(labels)
    return int(counts[counts > 0].min() if _needs_both(label) else counts.max())


def _limit(data: Labelled) -> str:
    if data.owners is not None or not data.label.classes:
        return "the number of sequences"
    return f"the size of the {'smallest' if _needs_both(data.label) else 'largest'} class"


def _needs_both(label: Label) -> bool:
    """Whether a fold that lacks a class has no score."""
    return label.metric == "auc" and len(label.classes) == 2


def _remedy(used: LabelsUsed) -> str:
    if used.encoder != "gradient":
        return "More labels help."
    return (
        "The encoder has learned the labels of the others: use folds=0, which scores "
        "the test split, or train with a smaller labels.fraction"
    )
