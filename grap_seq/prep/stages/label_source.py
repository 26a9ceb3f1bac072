"""Where labels are: in a file that the description names, or in what a recipe makes of its source.

Each label of `spec.label` has a working column (`spec.label_columns`), of text, or of float64 where
it is a number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.recipes import Recipe
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.read.tables import read_table, require_columns
from grap_seq.prep.stages.cells import as_text, unreadable, without_missing
from grap_seq.prep.stages.clean import LEFT_OUT, described, facts_of, label_value
from grap_seq.prep.stages.times import TimeKind, as_time, check_same_kind

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


def label_path(recipe: Recipe) -> Path | None:
    """The label file that the YAML names."""
    labels = recipe.spec.labels
    return None if labels is None else recipe.spec_path.parent / labels


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
    table = without_missing(table, (*described(spec), "split"), spec.na_values)
    values = {name: label_value(table[name], spec, name) for name in spec.label}
    has_split = "split" in table.columns
    columns: dict[str, ir.Value] = {
        "__id": as_text(table[spec.id]),
        **{place: values[name] for place, name in spec.label_columns.items()},
        "__split": as_text(table.split) if has_split else ibis.null("string"),
        "__file": table["__file"] if "__file" in table.columns else ibis.literal(where),
    }
    counted = {name: value for name, value in values.items() if spec.is_number(name)}
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
