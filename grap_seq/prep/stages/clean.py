"""Raw columns to their canonical form: text ids and categories, times and numbers as float64.

A null is a missing value. What could not be read (no number, no time, NaN, infinity) becomes NaN,
and `__bad` keeps the text of the row's first such cell: the checks then count and name them without
a second look at the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.spec_parts import SECONDS
from grap_seq.prep.engines.base import epoch_microseconds, parse_time
from grap_seq.prep.stages.calendar import calendar_field

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

TimeKind = Literal["number", "timestamp"]
SAMPLE = 1000
# Columns that readers and recipes add: where a row is from, why it is none to be used, and what the
# recipe's labels need to know of it.
LEFT_OUT = "__left_out"
GIVEN = ("__file", "__row", LEFT_OUT, "__for_labels")


def as_text(column: ir.Value) -> ir.StringValue:
    """Canonical text of an id, a category or a class; null where missing.

    A number reads the same whether the source kept it as integer, float or text: 7, 7.0 and '7.0'
    give '7' (a pandas column of integers turns to floats with its first missing value). Booleans
    give 'true' and 'false'. Empty text is missing.
    """
    kind = column.type()
    if kind.is_floating():
        whole = column.try_cast("int64")
        text = ibis.ifelse(whole.cast("float64") == column, whole.cast("string"), _plain(column))
        return ibis.ifelse(column.isnan(), ibis.null("string"), text)
    text = _plain(column)
    if not (kind.is_string() or kind.is_decimal()):
        return text
    # The cheap tests come first: most cells are neither, in tables of many millions of them.
    lower = text.lower()
    return ibis.cases(
        (text.contains("."), text.re_replace(r"^(-?[0-9]+)\.0+$", r"\1")),
        (text.length().between(4, 5) & lower.isin(["true", "false"]), lower),
        (text == "", ibis.null("string")),
        else_=text,
    )


def as_id(column: ir.Value) -> ir.Value:
    """An id as int64 where its column has integers, otherwise as text: sorting and joining many
    millions of texts is what takes the time. Of a sequence, text is made once.
    """
    kind = column.type()
    if kind.is_integer() and kind.nbytes < 8 + kind.is_signed_integer():
        return column.cast("int64")
    return as_text(column)


def _plain(column: ir.Value) -> ir.StringValue:
    return column.cast("string")


def as_number(column: ir.Value, name: str) -> ir.FloatingValue:
    """float64; null where missing, NaN where the cell is no finite number.

    Raises:
        ValueError: a column of dates, lists or other things that are no numbers.
    """
    kind = column.type()
    if kind.is_string():
        number = column.try_cast("float64")
        missing = column.isnull() | (column.strip() == "")
        unread = ibis.ifelse(missing, ibis.null("float64"), _nan())
    elif kind.is_numeric() or kind.is_boolean():
        number, unread = column.cast("float64"), ibis.null("float64")
    elif kind.is_null():
        return ibis.null("float64")
    else:
        raise ValueError(f"column '{name}' has type {kind}, not a number; list it as categorical")
    # Adding x - x makes NaN of infinity and 0.0 of -0.0 (two kinds of zero would tie in every
    # sort). It is arithmetic and no CASE, for which engines compute x again in each branch.
    return ibis.coalesce(number + (number - number), unread)


def as_time(column: ir.Value, spec: DatasetSpec, kind: TimeKind) -> ir.FloatingValue:
    """float64 in `spec.time_unit`; null where missing, NaN where the cell is no time."""
    if kind == "number":
        return as_number(column, column.get_name())
    moment = _moment(column, spec)
    units = epoch_microseconds(moment).cast("float64") / (1_000_000.0 * SECONDS[spec.time_unit])
    missing = _cell(column).isnull()
    return ibis.ifelse(missing, ibis.null("float64"), ibis.coalesce(units, _nan()))


def _cell(column: ir.Value) -> ir.Value:
    return column.strip().nullif("") if column.type().is_string() else column


def _moment(column: ir.Value, spec: DatasetSpec) -> ir.TimestampValue:
    """Date and time in UTC; null where the cell is missing or no time."""
    if not column.type().is_string():
        return column.cast("timestamp(6)")
    if spec.time_format is not None:
        return parse_time(_cell(column), spec.time_format)
    return _cell(column).try_cast("timestamp('UTC')").cast("timestamp(6)")


def time_kind(
    connection: Connection, events: ir.Table, spec: DatasetSpec, name: str | None = None
) -> TimeKind:
    """Whether the time column counts units or names moments; text is judged by its first cells.

    `name` is another column with times, by default `spec.time`.

    Raises:
        ValueError: a time column of another type.
    """
    name = name or spec.time
    column = events[name]
    kind = column.type()
    if kind.is_numeric():
        return "number"
    if kind.is_timestamp() or kind.is_date():
        return "timestamp"
    if not kind.is_string():
        raise ValueError(
            f"time column '{name}' has type {kind}; give a timestamp, a date, a number or text"
        )
    if spec.time_format is not None:
        return "timestamp"
    cells = events.select(cell=column.strip().nullif("")).limit(SAMPLE)
    sample = connection.to_pyarrow(
        cells.aggregate(
            numbers=cells.cell.try_cast("float64").count(),
            moments=cells.cell.try_cast("timestamp('UTC')").count(),
        )
    ).to_pylist()[0]
    return "number" if sample["numbers"] > sample["moments"] else "timestamp"


def check_time_kind(
    connection: Connection, events: ir.Table, spec: DatasetSpec, stored: TimeKind, where: str
) -> None:
    """Raise ValueError where the time column is not of the kind that it had in preparation."""
    given = time_kind(connection, events, spec)
    if given != stored:
        raise ValueError(
            f"{where}: column '{spec.time}' is a {given}, in preparation it was a {stored}; "
            "convert it"
        )


def check_same_kind(
    connection: Connection,
    table: ir.Table,
    spec: DatasetSpec,
    name: str,
    kind: TimeKind,
    where: str,
) -> None:
    """Raise ValueError where another column with times is not of the events' kind."""
    found = time_kind(connection, table, spec, name)
    if found != kind:
        raise ValueError(
            f"{where}: column '{name}' is a {found}, the events' '{spec.time}' is a {kind}; write "
            "both alike"
        )


def clean(events: ir.Table, spec: DatasetSpec, kind: TimeKind) -> ir.Table:
    """Columns id (see `as_id`), event_time, fields, `__tie0`..., `__bad`.

    Also `__label0`..., `__label_time`, `__until`, static fields, and what else is `GIVEN`.

    Raises:
        ValueError: a column has a type that cannot be used, or a calendar is asked of numbers.
    """
    if spec.calendar and kind == "number":
        raise ValueError(
            f"{spec.name}: calendar takes {', '.join(spec.calendar)} from dates, and the times in "
            f"column '{spec.time}' are numbers; give dates, or take it out of the YAML"
        )
    labels = spec.label_columns if spec.labels is None else {}
    numbers = {name: as_number(events[name], name) for name in spec.numerical}
    ties = {place: as_number(events[name], name) for place, name in spec.ties.items()}
    time = as_time(events[spec.time], spec, kind)
    counted = {
        spec.time: time,
        **{spec.ties[place]: value for place, value in ties.items()},
        **numbers,
    }
    extra: dict[str, ir.Value] = {}
    if labels and set(labels.values()) <= set(events.columns):
        extra |= {place: as_text(events[name]) for place, name in labels.items()}
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
        **{name: calendar_field(name, _moment(events[spec.time], spec)) for name in spec.calendar},
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
            found[name] = as_number(table[name], name)
    return found


def unreadable(column: ir.Value, value: ir.FloatingValue) -> ir.StringValue:
    """Text of a cell that `as_time` or `as_number` turned into NaN, otherwise null."""
    return ibis.ifelse(value.isnan(), _plain(column), ibis.null("string"))


def _nan() -> ir.FloatingScalar:
    return ibis.literal(float("nan"), "float64")
