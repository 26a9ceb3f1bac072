"""Labels: from a file, from a recipe or from a column of the events, checked and joined by id.

A label may have a time of its own (`label_time`). One label a sequence then forbids events from
that time on; of several (`local_labels`) each belongs to the last event before its time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.clean import (
    TimeKind,
    as_text,
    as_time,
    check_same_kind,
    facts_of,
    unreadable,
)
from grap_seq.prep.problems import Problems
from grap_seq.prep.recipes import Recipe
from grap_seq.prep.spec import DatasetSpec
from grap_seq.prep.tables import read_table, require_columns
from grap_seq.schema import SPLITS

if TYPE_CHECKING:
    from grap_seq.prep.engine import Connection


EARLY = "label before the sequence's first event"


def read_labels(
    connection: Connection,
    recipe: Recipe,
    tables: dict[str, ir.Table],
    kind: TimeKind,
    *,
    required: bool = True,
) -> ir.Table | None:
    """Labels beside the events: text columns `__id`, `__label`, `__split` and `__file`.

    With `label_time` also `__label_time` (as `event_time`), then the columns of `facts_of` that the
    file has, and `__bad`, the text of the first number or time that is unreadable. None where the
    label is a column of the events or where there is no label; where it is not `required`, the
    label file may also be missing.

    Args:
        kind: how the events' times are written, and so those of the labels.

    Raises:
        FileNotFoundError, ValueError: the label file is missing or lacks a column, or its times are
            of another kind.
    """
    spec = recipe.spec
    if spec.label is None:
        return None
    where = f"labels of {spec.name}"
    if spec.labels is not None:
        path = recipe.spec_path.parent / spec.labels
        if not path.exists():
            if not required:
                return None
            raise FileNotFoundError(
                f"{recipe.spec_path}: no label file {path}; correct 'labels', a path relative to "
                "this YAML file"
            )
        table, where = read_table(connection, path), str(path)
    else:
        given = recipe.labels(tables)
        if given is None:
            return None
        table = given
    require_columns(table, [spec.id, spec.label], where)
    has_split = "split" in table.columns
    columns: dict[str, ir.Value] = {
        "__id": as_text(table[spec.id]),
        "__label": as_text(table[spec.label]),
        "__split": as_text(table.split) if has_split else ibis.null("string"),
        "__file": table["__file"] if "__file" in table.columns else ibis.literal(where),
    }
    counted: dict[str, ir.Value] = {}
    if spec.label_time is not None:
        require_columns(table, [spec.label_time], where)
        check_same_kind(connection, table, spec, spec.label_time, kind, where)
        counted[spec.label_time] = as_time(table[spec.label_time], spec, kind)
        columns["__label_time"] = counted[spec.label_time]
    if spec.until_column is not None and spec.until_column in table.columns:
        check_same_kind(connection, table, spec, spec.until_column, kind, where)
    facts = facts_of(table, spec, kind)
    columns |= {spec.facts[name]: value for name, value in facts.items()}
    counted |= {name: value for name, value in facts.items() if value.type().is_floating()}
    unread = [unreadable(table[name], value) for name, value in counted.items()]
    if unread:
        columns["__bad"] = ibis.coalesce(*unread)
    return table.select(**columns)


def with_times(labels: ir.Table, spec: DatasetSpec, problems: Problems) -> ir.Table:
    """Labels without those that lack a time where one is needed; their split stays.

    Raises:
        ValueError: in strict mode, for the first of them.
    """
    if spec.label_time is None:
        return labels
    time, given = labels["__label_time"], labels["__id"].notnull() & labels["__label"].notnull()
    missing = labels.filter(given & time.isnull())
    problems.report(labels, missing, f"label without time in column '{spec.label_time}'")
    unread = labels.filter(given & time.isnan())
    problems.report(labels, unread, f"unreadable time in column '{spec.label_time}'", "__bad")
    known = time.notnull() & ~time.isnan()
    return labels.mutate(__label=ibis.ifelse(known, labels["__label"], ibis.null("string")))


def with_limits(events: ir.Table, labels: ir.Table, spec: DatasetSpec) -> ir.Table:
    """Events with `__late`: whether they happen at or after the time of their sequence's label."""
    timed = labels.filter(labels["__label"].notnull() & labels["__id"].notnull())
    limits = timed.group_by(__owner=timed["__id"]).aggregate(__limit=timed["__label_time"].min())
    joined = events.left_join(limits, events[spec.id] == limits["__owner"])
    late = (joined["event_time"] >= joined["__limit"]).fill_null(False)
    return joined.mutate(__late=late).drop("__owner", "__limit")


def label_of_ids(
    connection: Connection,
    labels: ir.Table,
    ids: ir.Table,
    problems: Problems,
    spec: DatasetSpec,
    *,
    required: bool = True,
) -> ir.Table:
    """One row an id that has events: `__id`, `__label`, `__split`.

    With `local_labels`, `__label` is a list in the order of `__label_time`, a list beside it.
    `labels` has the row's number in `__position`; `ids` has `__id` and, with `local_labels`, the
    time of the first event, `__first`. Where no label is `required`, all may be missing.

    Raises:
        ValueError: no id matches; a split of another name; in strict mode a label without id or
            without events, or two labels for one id (and one time).
    """
    wrong = labels.filter(labels["__split"].notnull() & labels["__split"].notin(SPLITS)).limit(1)
    for row in connection.to_pyarrow(wrong).to_pylist():
        raise ValueError(
            f"{row['__file']}: split '{row['__split']}' of id '{row['__id']}'; write "
            f"{', '.join(SPLITS)} or leave it empty"
        )
    whole = labels
    problems.report(whole, labels.filter(labels["__id"].isnull()), "label without id")
    labels = labels.filter(labels["__id"].notnull())
    matched = labels.semi_join(ids, "__id")
    expected = required or _any_label(connection, labels)
    if expected and not _any_label(connection, matched):
        raise ValueError(_no_match(connection, labels, ids))
    problems.report(whole, labels.anti_join(ids, "__id"), "label without events", column="__id")
    if spec.local_labels:
        return _several(connection, whole, matched, ids, problems, spec)
    groups = matched.group_by("__id").aggregate(
        __label=matched["__label"].min(),
        __other=matched["__label"].max(),
        __split=matched["__split"].min(),
    )
    torn = groups.filter(groups["__label"] != groups["__other"])
    conflicts = matched.semi_join(torn, "__id")
    problems.report(whole, conflicts, "conflicting labels of an id", column="__id")
    label = ibis.ifelse(
        groups["__label"] == groups["__other"], groups["__label"], ibis.null("string")
    )
    return groups.select("__id", "__split", __label=label)


def _any_label(connection: Connection, labels: ir.Table) -> bool:
    return bool(connection.to_pyarrow(labels["__label"].count()).as_py())


def _several(
    connection: Connection,
    whole: ir.Table,
    matched: ir.Table,
    ids: ir.Table,
    problems: Problems,
    spec: DatasetSpec,
) -> ir.Table:
    """Lists of labels and their times; labels that no event precedes are counted and left out."""
    given = matched.filter(matched["__label"].notnull())
    keys = ["__id", "__label_time"]
    groups = given.group_by(keys).aggregate(
        __label=given["__label"].min(), __other=given["__label"].max()
    )
    torn = groups.filter(groups["__label"] != groups["__other"])
    conflicts = given.semi_join(torn, keys)
    problems.report(whole, conflicts, "conflicting labels of an id at one time", column="__id")
    kept = groups.filter(groups["__label"] == groups["__other"]).join(ids, "__id")
    early = kept["__label_time"] <= kept["__first"]
    problems.note(EARLY, kept.filter(early))
    rows = kept.filter(~early)
    if spec.relative_time:
        rows = rows.mutate(__label_time=rows["__label_time"] - rows["__first"])
    pairs = ibis.struct({"time": rows["__label_time"], "label": rows["__label"]}).collect().sort()
    lists = rows.group_by("__id").aggregate(__pairs=pairs)
    splits = matched.group_by("__id").aggregate(__split=matched["__split"].min())
    joined = splits.left_join(lists, "__id")
    return joined.select(
        "__id",
        "__split",
        __label=joined["__pairs"].map(lambda pair: pair["label"]),
        __label_time=joined["__pairs"].map(lambda pair: pair["time"]),
    )


def label_rows(sequences: ir.Table, spec: DatasetSpec) -> ir.Table:
    """`__split` and `__label`, one row a label (a sequence without one has none, or null)."""
    label = sequences["__label"]
    return sequences.select("__split", __label=label.unnest() if spec.local_labels else label)


def _no_match(connection: Connection, labels: ir.Table, ids: ir.Table) -> str:
    def first(table: ir.Table) -> str:
        found = connection.to_pyarrow(table.select("__id").order_by("__id").limit(3))
        return ", ".join(map(repr, found["__id"].to_pylist())) or "(none)"

    file = connection.to_pyarrow(labels.select("__file").limit(1))["__file"].to_pylist()
    return (
        f"{file[0] if file else 'the label file'}: no label belongs to an id of the events; labels "
        f"have ids like {first(labels)}, events {first(ids)}; both must be written the same way"
    )


def classes_of(connection: Connection, labels: ir.Table) -> tuple[str, ...]:
    """Names of the classes in `__label`: numbers in their order, otherwise text in its order.

    Raises:
        ValueError: no label at all, or only one class.
    """
    found = connection.to_pyarrow(labels.select("__label").distinct())["__label"].to_pylist()
    classes = [value for value in found if value is not None]
    if len(classes) < 2:
        raise ValueError(
            f"the label has {len(classes)} different values ({', '.join(classes) or 'all missing'})"
            "; a label needs at least two classes: correct it, or set label to null in the YAML"
        )
    try:
        return tuple(sorted(classes, key=float))
    except ValueError:
        return tuple(sorted(classes))


def label_path(recipe: Recipe) -> Path | None:
    """The label file that the YAML names."""
    labels = recipe.spec.labels
    return None if labels is None else recipe.spec_path.parent / labels
