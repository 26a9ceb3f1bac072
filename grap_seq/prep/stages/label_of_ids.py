"""One label a sequence, or several (`local_labels`), each of which belongs to the last event before
its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.stages.labels import any_label, null_unless
from grap_seq.prep.stages.problems import Problems
from grap_seq.schema import SPLITS

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

EARLY = "label before the sequence's first event"


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
        agreed[place] = null_unless(equal, groups[place])
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


def _no_match(connection: Connection, labels: ir.Table, ids: ir.Table) -> str:
    def first(table: ir.Table) -> str:
        found = connection.to_pyarrow(table.select("__id").order_by("__id").limit(3))
        return ", ".join(map(repr, found["__id"].to_pylist())) or "(none)"

    file = connection.to_pyarrow(labels.select("__file").limit(1))["__file"].to_pylist()
    return (
        f"{file[0] if file else 'the label file'}: no label belongs to an id of the events; labels "
        f"have ids like {first(labels)}, events {first(ids)}; both must be written the same way"
    )
