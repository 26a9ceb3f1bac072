"""Counts of what a preparation made, by split: how they are taken, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.stages.labels import label_rows
from grap_seq.schema import SPLITS, Label

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

Counts = dict[str, dict[str, Any]]


def count(connection: Connection, sequences: ir.Table, spec: DatasetSpec) -> Counts:
    """Sequences, events, labelled ones and labels of each class, by split."""
    counts = {split: _nothing(spec) for split in SPLITS}
    sums = sequences.group_by("__split").aggregate(
        sequences=sequences.count(),
        events=sequences["__events"].sum(),
        **{place: sequences[place].count() for place in spec.label_columns},
    )
    for row in connection.to_pyarrow(sums).to_pylist():
        split = counts[row["__split"]]
        split |= {name: row[name] for name in ("sequences", "events")}
        for place, name in spec.label_columns.items():
            _of_label(split, spec, name)["labelled"] = row[place]
    rows = label_rows(sequences, spec)
    for place, name in spec.label_columns.items():
        if spec.is_number(name):
            continue
        given = rows.filter(rows[place].notnull())
        groups = given.group_by("__split", place).aggregate(n=given.count())
        for row in connection.to_pyarrow(groups).to_pylist():
            _of_label(counts[row["__split"]], spec, name)["classes"][row[place]] = row["n"]
    return counts


def _nothing(spec: DatasetSpec) -> dict[str, Any]:
    counts: dict[str, Any] = {"sequences": 0, "events": 0, "labelled": 0, "classes": {}}
    if len(spec.label) > 1:
        counts["labels"] = {name: {"labelled": 0, "classes": {}} for name in spec.label[1:]}
    return counts


def _of_label(split: dict[str, Any], spec: DatasetSpec, name: str) -> dict[str, Any]:
    """Counts of a label within those of a split, where the first label has no place of its own."""
    found: dict[str, Any] = split if name == spec.label[0] else split["labels"][name]
    return found


def check_splits(spec: DatasetSpec, counts: Counts) -> list[str]:
    """Warnings about empty splits and labels that validation or test lack.

    Raises:
        ValueError: a class without training sequences.
    """
    shares = {"val": spec.split.validation, "test": spec.split.test}
    warnings = [
        f"the {split} split is empty; use more data, or another seed or share in the YAML"
        for split, share in shares.items()
        if share and not counts[split]["sequences"]
    ]
    for name in spec.label:
        found = {split: _of_label(counts[split], spec, name) for split in SPLITS}
        classes = {value for part in found.values() for value in part["classes"]}
        which = f"the label {name}" if len(spec.label) > 1 else "the label"
        for split in SPLITS:
            missing = sorted(classes - set(found[split]["classes"]))
            if not counts[split]["sequences"]:
                continue
            if spec.is_number(name) and not found[split]["labelled"]:
                warnings.append(f"no {split} sequence has the label '{name}'")
            if not missing:
                continue
            text = f"no {split} sequence has {which} {', '.join(map(repr, missing))}"
            if split == "train":
                raise ValueError(
                    f"{spec.name}: {text}; give more labels, merge rare classes, or change the "
                    "seed of the split in the YAML"
                )
            warnings.append(f"{text}; results on it will not cover this class")
    return warnings


def with_classes(counts: Counts, labels: Iterable[Label], spec: DatasetSpec) -> Counts:
    """Counts with every class of the labels, in their order, also where a split has none of it."""
    for split in counts.values():
        for label in labels:
            found = _of_label(split, spec, label.name)
            found["classes"] = {name: found["classes"].get(name, 0) for name in label.classes}
    return counts


def without_labels(counts: Counts, spec: DatasetSpec) -> list[str]:
    """The warning that new data have no label at all, if that is so."""
    parts = [_of_label(split, spec, name) for split in counts.values() for name in spec.label]
    labelled = any(part["labelled"] for part in parts)
    return [] if labelled else ["no sequence has a label: all are in the split test"]
