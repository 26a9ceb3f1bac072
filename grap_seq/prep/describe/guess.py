"""Guess which column of a table is what, from what the cells hold more than from names."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from grap_seq.names import nearest
from grap_seq.prep.describe.columns import Column, constant_within, numbers_format
from grap_seq.prep.stages.times import moment
from grap_seq.schema import TimeUnit

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

TIME_NAME = re.compile(r"time|date|stamp|(^|_)(t|ts|dt|day|when|period)($|_)", re.I)
ID_NAME = re.compile(r"(^|_)(id|uid|key)($|_)|id$|client|customer|user|account|patient|card", re.I)
LABEL_NAME = re.compile(r"label|target|flag|class|churn|default|death|outcome|bins?$|^y$", re.I)
CODE_NAME = re.compile(r"code|type|mcc|category|group|(^|_)id$|status|channel|country|city", re.I)
# Whole numbers with at most this many values are taken for codes.
MAX_CODES = 50
MAX_CLASSES = 20


@dataclass(frozen=True)
class Known:
    """What the user says about a table; None: it has to be guessed.

    Attributes:
        id, time: columns.
        label: columns of the table, or of the label file where there is one.
        labels: the label file.
    """

    id: str | None = None
    time: str | None = None
    label: tuple[str, ...] | None = None
    labels: Path | None = None


NOTHING = Known()


@dataclass(frozen=True)
class Guess:
    """The parts of a description."""

    id: Column
    time: Column
    unit: TimeUnit
    categorical: list[Column]
    numerical: list[Column]
    label: list[Column]
    static_categorical: list[Column]
    static_numerical: list[Column]
    left_out: list[Column]

    @property
    def static(self) -> list[Column]:
        return [*self.static_categorical, *self.static_numerical]


def guess(
    connection: Connection,
    cells: pa.Table,
    columns: list[Column],
    source: Path,
    known: Known = NOTHING,
) -> Guess:
    """What the columns of a table are, as far as it is not known.

    Args:
        cells: the table's.
        columns: what `look` says about them.
        source: for error messages.

    Raises:
        ValueError: there is no column of a known name, or none that can be the id or the time.
    """
    named = {c.name: c for c in columns}
    inside = () if known.labels is not None else known.label or ()
    for key, name in (("id", known.id), ("time", known.time), *(("label", n) for n in inside)):
        if name is not None and name not in named:
            raise ValueError(f"{key}={name}: {source} has no such column; {nearest(name, named)}")
    labels = [named[name] for name in inside]
    open_columns = [c for c in columns if c not in labels]
    if known.time is not None:
        times = [named[known.time]]
    else:
        times = [
            c for c in open_columns if c.name != known.id and c.distinct > 1 and _may_be_time(c)
        ]
    if not times:
        raise ValueError(
            f"{source}: no column looks like a time; name it with time=, or write the YAML by hand "
            "and give time_format (strptime) for text"
        )
    candidates = [
        c
        for c in open_columns
        if c.kind in ("integer", "text") and c not in times and 2 <= c.distinct <= c.present / 2
    ]
    if known.id is not None:
        candidates = [named[known.id]]
    if not candidates:
        raise ValueError(
            f"{source}: no column looks like an id, with values that repeat; name it with id="
        )
    id_column = max(candidates, key=lambda c: (bool(ID_NAME.search(c.name)), c.distinct))
    others = [c for c in open_columns if c is not id_column]
    alike = constant_within(cells, id_column.name, [c.name for c in others])
    constant = [c for c in others if c.name in alike and c.distinct > 1]
    time = max(times, key=lambda c: _rank(c, c in constant))
    rest = [c for c in others if c is not time]
    constant = [c for c in constant if c is not time]
    if time.kind != "time":
        time = dataclasses.replace(time, time_format=numbers_format(cells[time.name]))
    classes = [c for c in constant if c.distinct <= MAX_CLASSES]
    called = [c for c in classes if LABEL_NAME.search(c.name)]
    if known.label is None and known.labels is None:
        labels = called[:1] or (classes if len(classes) == 1 else [])
    left_out = [c for c in rest if c.kind == "time" or c.distinct < 2 or _is_key(c)]
    used = [c for c in rest if c not in labels and c not in left_out]
    numbers = [c for c in used if c.kind == "number" or (c.kind == "integer" and _is_amount(c))]
    # A description needs a field.
    fields = [c for c in used if c not in constant] or used
    static = [c for c in used if c not in fields]
    return Guess(
        id=id_column,
        time=time,
        unit=_unit(connection, cells, time),
        categorical=[c for c in fields if c not in numbers],
        numerical=[c for c in fields if c in numbers],
        label=labels,
        static_categorical=[c for c in static if c not in numbers],
        static_numerical=[c for c in static if c in numbers],
        left_out=left_out,
    )


def _may_be_time(column: Column) -> bool:
    numeric = column.kind in ("integer", "number")
    return column.kind == "time" or (numeric and bool(TIME_NAME.search(column.name)))


def _rank(column: Column, constant: bool) -> tuple[bool, bool, bool, int]:
    """A time differs within an id; dates before numbers, then what is called a time."""
    named = bool(TIME_NAME.search(column.name))
    return (not constant, column.kind == "time", named, column.distinct)


def is_dated(time: Column) -> bool:
    return time.kind == "time" or time.time_format is not None


def _is_key(column: Column) -> bool:
    """Nearly every cell differs: the number or name of a row, not a category."""
    return column.kind in ("integer", "text") and column.distinct > 0.95 * max(column.present, 20)


def _is_amount(column: Column) -> bool:
    return column.distinct > MAX_CODES and not CODE_NAME.search(column.name)


def _unit(connection: Connection, cells: pa.Table, time: Column) -> TimeUnit:
    """By the span of the dates; a day where numbers do not say what they count."""
    if not is_dated(time):
        return "day"
    rows = ibis.memtable(cells.select([time.name]))
    when = moment(rows[time.name], time.time_format)
    ends = connection.to_pyarrow(rows.aggregate(first=when.min(), last=when.max()))
    row = ends.to_pylist()[0]
    span = (row["last"] - row["first"]).total_seconds()
    return "day" if span > 14 * 86400 else "hour" if span > 6 * 3600 else "minute"
