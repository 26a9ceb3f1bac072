"""Labels: from a file, from a recipe or from a column of the events, checked and joined by id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.clean import as_text
from grap_seq.prep.problems import Problems
from grap_seq.prep.recipes import Recipe
from grap_seq.prep.tables import read_table, require_columns
from grap_seq.schema import SPLITS

if TYPE_CHECKING:
    from grap_seq.prep.engine import Connection


def read_labels(
    connection: Connection, recipe: Recipe, tables: dict[str, ir.Table], *, required: bool = True
) -> ir.Table | None:
    """Labels beside the events: text columns `__id`, `__label`, `__split` and `__file`.

    None where the label is a column of the events or where there is no label; where it is not
    `required`, the label file may also be missing.

    Raises:
        FileNotFoundError, ValueError: the label file is missing or lacks a column.
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
    return table.select(
        __id=as_text(table[spec.id]),
        __label=as_text(table[spec.label]),
        __split=as_text(table.split) if has_split else ibis.null("string"),
        __file=table["__file"] if "__file" in table.columns else ibis.literal(where),
    )


def label_of_ids(
    connection: Connection,
    labels: ir.Table,
    ids: ir.Table,
    problems: Problems,
    *,
    required: bool = True,
) -> ir.Table:
    """One row an id that has events: `__id`, `__label`, `__split`.

    `labels` has the row's number in `__position`; `ids` has the column `__id`. Where no label is
    `required`, all may be missing.

    Raises:
        ValueError: no id matches; a split of another name; in strict mode a label without id or
            without events, or two labels for one id.
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


def _no_match(connection: Connection, labels: ir.Table, ids: ir.Table) -> str:
    def first(table: ir.Table) -> str:
        found = connection.to_pyarrow(table.select("__id").order_by("__id").limit(3))
        return ", ".join(map(repr, found["__id"].to_pylist())) or "(none)"

    file = connection.to_pyarrow(labels.select("__file").limit(1))["__file"].to_pylist()
    return (
        f"{file[0] if file else 'the label file'}: no label belongs to an id of the events; labels "
        f"have ids like {first(labels)}, events {first(ids)}; both must be written the same way"
    )


def classes_of(connection: Connection, sequences: ir.Table) -> tuple[str, ...]:
    """Names of the classes: numbers in their order, otherwise text in its order.

    Raises:
        ValueError: no label at all, or only one class.
    """
    found = connection.to_pyarrow(sequences.select("__label").distinct())["__label"].to_pylist()
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
