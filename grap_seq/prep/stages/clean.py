"""Raw columns to their canonical form: text ids and categories, times and numbers as float64.

A null is a missing value. What could not be read (no number, no time, NaN, infinity) becomes NaN,
and `__bad` keeps the text of the row's first such cell: the checks then count and name them without
a second look at the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.stages.calendar import calendar_field
from grap_seq.prep.stages.cells import as_id, as_number, as_text, unreadable, without_missing
from grap_seq.prep.stages.times import TimeKind, as_time, moment

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# Columns that readers and recipes add: where a row is from, why it is none to be used, and what the
# recipe's labels need to know of it.
LEFT_OUT = "__left_out"
GIVEN = ("__file", "__row", LEFT_OUT, "__for_labels")


def clean(events: ir.Table, spec: DatasetSpec, kind: TimeKind) -> ir.Table:
    """Columns id (see `as_id`), event_time, fields, `__tie0`..., `__bad`.

    Also `__label0`..., `__label_time`, `__until`, static fields, and what else is `GIVEN`.

    Raises:
        ValueError: a column has a type that cannot be used, or a calendar is asked of numbers.
    """
    events = without_missing(events, described(spec), spec.na_values)
    if spec.calendar and kind == "number":
        raise ValueError(
            f"{spec.name}: calendar takes {', '.join(spec.calendar)} from dates, and the times in "
            f"column '{spec.time}' are numbers; give dates, or take it out of the YAML"
        )
    labels = spec.label_columns if spec.labels is None else {}
    point = spec.decimal
    numbers = {name: as_number(events[name], name, point) for name in spec.numerical}
    ties = {place: as_number(events[name], name, point) for place, name in spec.ties.items()}
    time = as_time(events[spec.time], spec, kind)
    counted = {
        spec.time: time,
        **{spec.ties[place]: value for place, value in ties.items()},
        **numbers,
    }
    extra: dict[str, ir.Value] = {}
    if labels and set(labels.values()) <= set(events.columns):
        found = {name: label_value(events[name], spec, name) for name in labels.values()}
        extra |= {place: found[name] for place, name in labels.items()}
        counted |= {name: value for name, value in found.items() if spec.is_number(name)}
        if spec.label_time is not None and spec.label_time in events.columns:
            counted[spec.label_time] = as_time(events[spec.label_time], spec, kind)
            extra["__label_time"] = counted[spec.label_time]
    facts = facts_of(events, spec, kind)
    extra |= {spec.facts[name]: value for name, value in facts.items()}
    counted |= {name: value for name, value in facts.items() if value.type().is_floating()}
    unread = [unreadable(events[name], value) for name, value in counted.items()]
    columns: dict[str, ir.Value] = {
        spec.id: as_id(events[spec.id]),
        "event_time": time,
        **{name: as_text(events[name]) for name in spec.categorical},
        **{
            name: calendar_field(name, moment(events[spec.time], spec.time_format))
            for name in spec.calendar
        },
        **numbers,
        **ties,
        "__bad": ibis.coalesce(*unread),
        **extra,
    }
    for name in GIVEN:
        if name in events.columns:
            columns[name] = events[name]
    return events.select(**columns)


def used(rows: ir.Table) -> ir.Table:
    """Rows that a recipe does not leave out."""
    if LEFT_OUT not in rows.columns:
        return rows
    return rows.filter(rows[LEFT_OUT].isnull()).drop(LEFT_OUT)


def left_out(connection: Connection, rows: ir.Table) -> dict[str, int]:
    """The number of rows that a recipe leaves out, by reason."""
    if LEFT_OUT not in rows.columns:
        return {}
    rows = rows.filter(rows[LEFT_OUT].notnull())
    counts = rows.group_by(LEFT_OUT).aggregate(n=rows.count()).order_by(LEFT_OUT)
    found = connection.to_pyarrow(counts).to_pydict()
    return dict(zip(found[LEFT_OUT], found["n"], strict=True))


def described(spec: DatasetSpec) -> tuple[str, ...]:
    """Columns that a description names, of events or of a label file."""
    times = () if spec.label_time is None else (spec.label_time,)
    return (*spec.columns, *spec.label, *spec.facts, *times)


def label_value(column: ir.Value, spec: DatasetSpec, name: str) -> ir.Value:
    """A label: text of a class, or float64, NaN where a cell is no number."""
    return as_number(column, name, spec.decimal) if spec.is_number(name) else as_text(column)


def check_ids(connection: Connection, events: ir.Table, spec: DatasetSpec, where: str) -> None:
    """Refuse ids that are floats and no whole numbers, or too large to be told apart.

    Raises:
        ValueError: one of them, which no leniency mends: the column is another, or has lost digits.
    """
    column = events[spec.id]
    if not column.type().is_floating():
        return
    exact = 2 ** (24 if column.type().is_float32() else 53)
    whole = (column.try_cast("int64").cast("float64") == column) & (column.abs() < exact)
    fine = whole.fill_null(False) | column.isnan()
    # Not a filter, for which an engine would look at minima and maxima that leave out NaN.
    odd = ibis.ifelse(fine, ibis.null("float64"), column.cast("float64"))

    def judge(largest: pa.Table) -> None:
        found = largest["odd"][0].as_py()
        if found is not None:
            raise ValueError(
                f"{where}: the ids in column '{spec.id}' are floats, and {found!r} is no whole "
                f"number below {exact:,} (2 to the power of {exact.bit_length() - 1}), beyond "
                "which floats are not exact; keep ids as integers or text, or name another column"
            )

    connection.check(events.aggregate(odd=odd.max()), judge)


def facts_of(table: ir.Table, spec: DatasetSpec, kind: TimeKind) -> dict[str, ir.Value]:
    """The columns of `spec.facts` that a table has: texts, numbers and times."""
    found: dict[str, ir.Value] = {}
    for name in spec.facts:
        if name not in table.columns:
            continue
        if name == spec.until_column:
            found[name] = as_time(table[name], spec, kind)
        elif name in spec.static.categorical:
            found[name] = as_text(table[name])
        else:
            found[name] = as_number(table[name], name, spec.decimal)
    return found
