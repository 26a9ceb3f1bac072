"""Labels: from a file, from a recipe or from columns of the events, checked and joined by id.

Each label of `spec.label` has a working column (`spec.label_columns`), of text, or of float64 where
it is a number.

A label may have a time of its own (`label_time`). One label a sequence then forbids events from
that time on; of several (`local_labels`) each belongs to the last event before its time.
"""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.recipes import Recipe
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.read.tables import read_table, require_columns
from grap_seq.prep.stages.clean import (
    LEFT_OUT,
    TimeKind,
    as_number,
    as_text,
    as_time,
    check_same_kind,
    facts_of,
    unreadable,
)
from grap_seq.prep.stages.problems import Problems
from grap_seq.schema import SPLITS

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


EARLY = "label before the sequence's first event"


def label_file(
    connection: Connection, recipe: Recipe, kind: TimeKind, *, required: bool = True
) -> ir.Table | None:
    """Labels of the file that the description names, as `_labels` returns them.

    None where it names none; where it is not `required`, the file may also be missing.

    Args:
        kind: how the events' times are written, and so those of the labels.

    Raises:
        FileNotFoundError, ValueError: the label file is missing or lacks a column, or its times are
            of another kind.
    """
    path = label_path(recipe)
    if path is None or not recipe.spec.label:
        return None
    if not path.exists():
        if not required:
            return None
        raise FileNotFoundError(
            f"{recipe.spec_path}: no label file {path}; correct 'labels', a path relative to "
            "this YAML file"
        )
    return _labels(connection, read_table(connection, path), recipe.spec, kind, str(path))


def recipe_labels(
    connection: Connection,
    recipe: Recipe,
    tables: dict[str, ir.Table],
    cleaned: ir.Table,
    kind: TimeKind,
) -> ir.Table:
    """Labels that the recipe finds, as `_labels` returns them.

    Args:
        tables: what the recipe has read.
        cleaned: its events, as `clean` makes them.
        kind: as in `label_file`.

    Raises:
        ValueError: a label or column that the description names is not among them.
    """
    table = recipe.labels(connection, tables, cleaned)
    return _labels(connection, table, recipe.spec, kind, f"labels of {recipe.spec.name}")


def _labels(
    connection: Connection, table: ir.Table, spec: DatasetSpec, kind: TimeKind, where: str
) -> ir.Table:
    """Text columns `__id`, `__label0`..., `__split` and `__file`.

    With `label_time` also `__label_time` (as `event_time`), then the columns of `facts_of` that the
    table has, `__bad`, the text of the first number or time that is unreadable, and `__left_out`.
    """
    require_columns(table, [spec.id, *spec.label], where)
    has_split = "split" in table.columns
    columns: dict[str, ir.Value] = {
        "__id": as_text(table[spec.id]),
        **{place: as_text(table[name]) for place, name in spec.label_columns.items()},
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
    if LEFT_OUT in table.columns:
        columns[LEFT_OUT] = table[LEFT_OUT]
    return table.select(**columns)


def with_times(labels: ir.Table, spec: DatasetSpec, problems: Problems) -> ir.Table:
    """Labels without those that lack a time where one is needed; their split stays.

    Raises:
        ValueError: in strict mode, for the first of them.
    """
    if spec.label_time is None:
        return labels
    time, given = labels["__label_time"], labels["__id"].notnull() & any_label(labels, spec)
    missing = labels.filter(given & time.isnull())
    problems.report(labels, missing, f"label without time in column '{spec.label_time}'")
    unread = labels.filter(given & time.isnan())
    problems.report(labels, unread, f"unreadable time in column '{spec.label_time}'", "__bad")
    known = time.notnull() & ~time.isnan()
    return labels.mutate(**{place: _where(known, labels[place]) for place in spec.label_columns})


def with_numbers(labels: ir.Table, spec: DatasetSpec, problems: Problems) -> ir.Table:
    """Labels that are numbers as float64, null where a cell is none.

    Raises:
        ValueError: in strict mode, for the first of those.
    """
    for place, name in spec.label_columns.items():
        if spec.is_number(name):
            number = as_number(labels[place], name)
            reason = f"no finite number in label column '{name}'"
            problems.report(labels, labels.filter(number.isnan()), reason, place)
            labels = labels.mutate(**{place: _where(~number.isnan(), number)})
    return labels


def _where(kept: ir.BooleanValue, value: ir.Value) -> ir.Value:
    return ibis.ifelse(kept, value, ibis.null(value.type()))


def any_label(table: ir.Table, spec: DatasetSpec) -> ir.BooleanValue:
    """Whether a row has one label at least."""
    known = [table[place].notnull() for place in spec.label_columns]
    result: ir.BooleanValue = functools.reduce(operator.or_, known)
    return result


def no_labels(spec: DatasetSpec) -> dict[str, ir.Value]:
    """The columns of a sequence without labels."""

    def null(kind: str) -> ir.Value:
        return ibis.null(f"array<{kind}>" if spec.local_labels else kind)

    kinds = {
        place: "float64" if spec.is_number(name) else "string"
        for place, name in spec.label_columns.items()
    }
    times = {"__label_time": "float64"} if spec.local_labels else {}
    return {name: null(kind) for name, kind in (kinds | times).items()}


def with_limits(events: ir.Table, labels: ir.Table, spec: DatasetSpec) -> ir.Table:
    """Events with `__late`: whether they happen at or after the time of their sequence's label."""
    timed = labels.filter(any_label(labels, spec) & labels["__id"].notnull())
    limits = timed.group_by(__owner=timed["__id"]).aggregate(__limit=timed["__label_time"].min())
    joined = events.left_join(limits, events[spec.id].cast("string") == limits["__owner"])
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
    """One row an id that has events: `__id`, `__label0`..., `__split`.

    With `local_labels`, `__label0` is a list in the order of `__label_time`, a list beside it.
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
    expected = required or _has_labels(connection, labels, spec)
    if expected and not _has_labels(connection, matched, spec):
        raise ValueError(_no_match(connection, labels, ids))
    problems.report(whole, labels.anti_join(ids, "__id"), "label without events", column="__id")
    if spec.local_labels:
        return _several(connection, whole, matched, ids, problems, spec)
    columns = {"__split": matched["__split"].min()}
    for place in spec.label_columns:
        columns |= {place: matched[place].min(), f"{place}_other": matched[place].max()}
    groups = matched.group_by("__id").aggregate(**columns)
    agreed = {}
    for place, name in spec.label_columns.items():
        equal = groups[place] == groups[f"{place}_other"]
        conflicts = matched.semi_join(groups.filter(~equal), "__id")
        which = f" in column '{name}'" if len(spec.label) > 1 else ""
        problems.report(whole, conflicts, f"conflicting labels of an id{which}", column="__id")
        agreed[place] = _where(equal, groups[place])
    return groups.select("__id", "__split", **agreed)


def _has_labels(connection: Connection, labels: ir.Table, spec: DatasetSpec) -> bool:
    return bool(connection.to_pyarrow(any_label(labels, spec).any().fill_null(False)).as_py())


def _several(
    connection: Connection,
    whole: ir.Table,
    matched: ir.Table,
    ids: ir.Table,
    problems: Problems,
    spec: DatasetSpec,
) -> ir.Table:
    """Lists of labels and their times; labels that no event precedes are counted and left out."""
    (place,) = spec.label_columns
    given = matched.filter(matched[place].notnull())
    keys = ["__id", "__label_time"]
    groups = given.group_by(keys).aggregate(__label=given[place].min(), __other=given[place].max())
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
    lists = {
        place: joined["__pairs"].map(lambda pair: pair["label"]),
        "__label_time": joined["__pairs"].map(lambda pair: pair["time"]),
    }
    return joined.select("__id", "__split", **lists)


def label_rows(sequences: ir.Table, spec: DatasetSpec) -> ir.Table:
    """`__split` and labels, a row a sequence, or one a label where a sequence has several.

    A sequence without labels has a row of nulls, or none.
    """
    columns = {
        place: sequences[place].unnest() if spec.local_labels else sequences[place]
        for place in spec.label_columns
    }
    return sequences.select("__split", **columns)


def _no_match(connection: Connection, labels: ir.Table, ids: ir.Table) -> str:
    def first(table: ir.Table) -> str:
        found = connection.to_pyarrow(table.select("__id").order_by("__id").limit(3))
        return ", ".join(map(repr, found["__id"].to_pylist())) or "(none)"

    file = connection.to_pyarrow(labels.select("__file").limit(1))["__file"].to_pylist()
    return (
        f"{file[0] if file else 'the label file'}: no label belongs to an id of the events; labels "
        f"have ids like {first(labels)}, events {first(ids)}; both must be written the same way"
    )


def label_path(recipe: Recipe) -> Path | None:
    """The label file that the YAML names."""
    labels = recipe.spec.labels
    return None if labels is None else recipe.spec_path.parent / labels
