"""The time of an event: which way a column says it, and its canonical form, float64 in a unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.describe.number_times import WORDS, looks_like
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.spec_parts import EPOCHS, SECONDS
from grap_seq.prep.engines.base import (
    epoch_microseconds,
    parse_time,
    timestamp_of_microseconds,
)
from grap_seq.prep.stages.cells import as_number, as_text, nan

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

TimeKind = Literal["number", "timestamp"]
SAMPLE = 1000
# Microseconds since 1970 in the year 9999, which both engines can hold.
LAST = 2.5e17


def as_time(column: ir.Value, spec: DatasetSpec, kind: TimeKind) -> ir.FloatingValue:
    """float64 in `spec.time_unit`; null where missing, NaN where the cell is no time."""
    if kind == "number":
        return as_number(column, column.get_name(), spec.decimal)
    found = epoch_microseconds(moment(column, spec.time_format))
    units = found.cast("float64") / (1_000_000.0 * SECONDS[spec.time_unit])
    missing = _cell(column).isnull()
    return ibis.ifelse(missing, ibis.null("float64"), ibis.coalesce(units, nan()))


def _cell(column: ir.Value) -> ir.Value:
    return column.strip().nullif("") if column.type().is_string() else column


def moment(column: ir.Value, time_format: str | None) -> ir.TimestampValue:
    """Date and time in UTC; null where the cell is missing or no time.

    Args:
        column: timestamps, dates, text, or numbers in the form of `time_format`.
        time_format: one of `EPOCHS`, a format of strptime, or None for ISO text.
    """
    kind = column.type()
    if kind.is_timestamp() or kind.is_date():
        return column.cast("timestamp(6)")
    if time_format is None:
        return _cell(column).try_cast("timestamp('UTC')").cast("timestamp(6)")
    if time_format in EPOCHS:
        # By way of float64 for all sources alike. Half a microsecond is what nanoseconds lose.
        number = as_number(column, column.get_name()) * (1_000_000.0 / EPOCHS[time_format])
        known = number.abs() < LAST
        whole = ibis.ifelse(known, (number + 0.5).floor(), ibis.null("float64"))
        return timestamp_of_microseconds(whole.cast("int64"))
    if kind.is_string():
        return parse_time(_cell(column), time_format)
    return parse_time(_padded(as_text(column), time_format), time_format)


def _padded(digits: ir.StringValue, time_format: str) -> ir.StringValue:
    """With the zeros before a day or month that a number has lost."""
    width = len(datetime(2000, 12, 31).strftime(time_format))
    return ibis.ifelse(digits.length() < width, digits.lpad(width, "0"), digits)


def time_kind(
    connection: Connection, events: ir.Table, spec: DatasetSpec, name: str | None = None
) -> TimeKind:
    """Whether the time column counts units or names moments; text is judged by its first cells.

    `name` is another column with times, by default `spec.time`.

    Raises:
        ValueError: a time column of another type.
    """
    found = _kind(events, spec, name or spec.time)
    return _of_text(connection.to_pyarrow(found)) if isinstance(found, ir.Table) else found


def _kind(events: ir.Table, spec: DatasetSpec, name: str) -> TimeKind | ir.Table:
    """The kind of a column; of text what `_of_text` needs to know."""
    column = events[name]
    kind = column.type()
    if kind.is_timestamp() or kind.is_date():
        return "timestamp"
    if kind.is_numeric():
        return "number" if spec.time_format is None else "timestamp"
    if not kind.is_string():
        raise ValueError(
            f"time column '{name}' has type {kind}; give a timestamp, a date, a number or text"
        )
    if spec.time_format is not None:
        return "timestamp"
    cells = events.select(cell=column.strip().nullif("")).limit(SAMPLE)
    return cells.aggregate(
        numbers=as_number(cells.cell, name, spec.decimal).nullif(nan()).count(),
        moments=cells.cell.try_cast("timestamp('UTC')").count(),
    )


def _of_text(counts: pa.Table) -> TimeKind:
    (sample,) = counts.to_pylist()
    return "number" if sample["numbers"] > sample["moments"] else "timestamp"


def _check_kind(
    connection: Connection,
    events: ir.Table,
    spec: DatasetSpec,
    name: str,
    judge: Callable[[TimeKind], None],
) -> None:
    found = _kind(events, spec, name)
    if isinstance(found, ir.Table):
        connection.check(found, lambda counts: judge(_of_text(counts)))
    else:
        judge(found)


def check_numbers(connection: Connection, events: ir.Table, spec: DatasetSpec, where: str) -> None:
    """Refuse times that are read as counts of `time_unit` and look like something else.

    Raises:
        ValueError: the first of them are dates such as 20240131, or counts since 1970 in another
            unit.
    """
    number = as_number(events[spec.time], spec.time, spec.decimal)
    cells = events.select(number=number.nullif(nan())).limit(SAMPLE)
    numbers = connection.to_pyarrow(cells)["number"].drop_null().to_pylist()
    found = looks_like(numbers)
    if found is None or (found == "epoch_s" and spec.time_unit == "second"):
        return
    raise ValueError(
        f"{where}: the times in column '{spec.time}' are numbers such as {int(numbers[0])}, which "
        f"look like {WORDS[found]}; as they are, they would count {spec.time_unit}s. Write "
        f"time_format: '{found}' in the description"
    )


def check_time_kind(
    connection: Connection, events: ir.Table, spec: DatasetSpec, stored: TimeKind, where: str
) -> None:
    """Raise ValueError where the time column is not of the kind that it had in preparation."""

    def judge(given: TimeKind) -> None:
        if given != stored:
            raise ValueError(
                f"{where}: column '{spec.time}' is a {given}, in preparation it was a {stored}; "
                "convert it"
            )

    _check_kind(connection, events, spec, spec.time, judge)


def check_same_kind(
    connection: Connection,
    table: ir.Table,
    spec: DatasetSpec,
    name: str,
    kind: TimeKind,
    where: str,
) -> None:
    """Raise ValueError where another column with times is not of the events' kind."""

    def judge(found: TimeKind) -> None:
        if found != kind:
            raise ValueError(
                f"{where}: column '{name}' is a {found}, the events' '{spec.time}' is a {kind}; "
                "write both alike"
            )

    _check_kind(connection, table, spec, name, judge)
