"""Look at a table and write a first YAML description of it, to be read and corrected by its owner.

Guesses come from what the cells hold more than from names. Text is tried as numbers and dates, the
same way in which preparation reads it, so that what is suggested can be prepared.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import yaml
from rich.table import Table

from grap_seq.files import atomic_write
from grap_seq.prep.describe.columns import Column, cell, constant_within, look, numbers_format
from grap_seq.prep.describe.recipes import suggested_path
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import read_table
from grap_seq.prep.stages.times import moment
from grap_seq.schema import TimeUnit
from grap_seq.terminal import Terminal, visible

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

ROWS = 1_000_000
TIME_NAME = re.compile(r"time|date|stamp|(^|_)(t|ts|dt|day|when|period)($|_)", re.I)
ID_NAME = re.compile(r"(^|_)(id|uid|key)($|_)|id$|client|customer|user|account|patient|card", re.I)
LABEL_NAME = re.compile(r"label|target|flag|class|churn|default|death|outcome|bins?$|^y$", re.I)
CODE_NAME = re.compile(r"code|type|mcc|category|group|(^|_)id$|status|channel|country|city", re.I)
# Whole numbers with at most this many values are taken for codes.
MAX_CODES = 50
MAX_CLASSES = 20
# The largest value of a skewed amount is this many times its median or more.
SKEW = 50


@dataclass(frozen=True)
class Guess:
    """The parts of a description."""

    id: Column
    time: Column
    unit: TimeUnit
    categorical: list[Column]
    numerical: list[Column]
    label: Column | None
    static_categorical: list[Column]
    static_numerical: list[Column]
    left_out: list[Column]

    @property
    def static(self) -> list[Column]:
        return [*self.static_categorical, *self.static_numerical]


def suggest(source: Path, output: Path | None = None) -> Path:
    """Write a commented YAML description beside the table (or to `output`) and print the columns.

    Raises:
        FileExistsError: there is already such a file.
        FileNotFoundError, ValueError: no table, an empty one, or no column that can be id or time.
    """
    output = suggested_path(source) if output is None else output
    if output.exists():
        raise FileExistsError(f"{output} exists; edit it, remove it or choose another output=")
    connection = connect()
    try:
        with connection.clear_errors(f"reading {source}"):
            table = read_table(connection, source)
            names = [name for name in table.columns if not name.startswith("__")]
            lists = [name for name in names if table[name].type().is_array()]
            table = explode(connection, table, lists, str(source)).limit(ROWS)
            cells = connection.to_pyarrow(table.select(**{n: cell(table[n]) for n in names}))
            count = len(cells)
            if not count:
                raise ValueError(f"{source}: the table has no events")
            guess = _guess(connection, cells, look(connection, cells), source)
    finally:
        connection.disconnect()
    text = _yaml(guess, source, count)
    DatasetSpec.from_dict(yaml.safe_load(text), str(output))
    with atomic_write(output) as temporary:
        temporary.write_text(text, "utf-8")
    Terminal().print(_table(guess, source, count))
    return output


def _guess(connection: Connection, cells: pa.Table, columns: list[Column], source: Path) -> Guess:
    times = [c for c in columns if c.distinct > 1 and _may_be_time(c)]
    if not times:
        raise ValueError(
            f"{source}: no column looks like a time; write the YAML by hand and give time_format "
            "(strptime) for text"
        )
    candidates = [
        c
        for c in columns
        if c.kind in ("integer", "text") and c not in times and 2 <= c.distinct <= c.present / 2
    ]
    if not candidates:
        raise ValueError(f"{source}: no column looks like an id, with values that repeat")
    id_column = max(candidates, key=lambda c: (bool(ID_NAME.search(c.name)), c.distinct))
    others = [c for c in columns if c is not id_column]
    alike = constant_within(cells, id_column.name, [c.name for c in others])
    constant = [c for c in others if c.name in alike and c.distinct > 1]
    time = max(times, key=lambda c: _rank(c, c in constant))
    rest = [c for c in others if c is not time]
    constant = [c for c in constant if c is not time]
    if time.kind != "time":
        time = dataclasses.replace(time, time_format=numbers_format(cells[time.name]))
    classes = [c for c in constant if c.distinct <= MAX_CLASSES]
    named = [c for c in classes if LABEL_NAME.search(c.name)]
    label = named[0] if named else classes[0] if len(classes) == 1 else None
    left_out = [c for c in rest if c.kind == "time" or c.distinct < 2 or _is_key(c)]
    used = [c for c in rest if c is not label and c not in left_out]
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
        label=label,
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


def _is_dated(time: Column) -> bool:
    return time.kind == "time" or time.time_format is not None


def _is_key(column: Column) -> bool:
    """Nearly every cell differs: the number or name of a row, not a category."""
    return column.kind in ("integer", "text") and column.distinct > 0.95 * max(column.present, 20)


def _is_amount(column: Column) -> bool:
    return column.distinct > MAX_CODES and not CODE_NAME.search(column.name)


def _is_skewed(column: Column) -> bool:
    low, median, high = column.low, column.median, column.high
    if low is None or median is None or high is None:
        return False
    return low >= 0 and high > SKEW * max(median, 1e-12)


def _unit(connection: Connection, cells: pa.Table, time: Column) -> TimeUnit:
    """By the span of the dates; a day where numbers do not say what they count."""
    if not _is_dated(time):
        return "day"
    rows = ibis.memtable(cells.select([time.name]))
    when = moment(rows[time.name], time.time_format)
    ends = connection.to_pyarrow(rows.aggregate(first=when.min(), last=when.max()))
    row = ends.to_pylist()[0]
    span = (row["last"] - row["first"]).total_seconds()
    return "day" if span > 14 * 86400 else "hour" if span > 6 * 3600 else "minute"


def _facts(column: Column, rows: int) -> str:
    missing = f", {column.missing / rows:.1%} missing" if column.missing else ""
    return f"{column.distinct:,} values{missing}"


def _quote(text: str) -> str:
    # Text with a line break is one line only in double quotes.
    style = None if visible(text) == text else '"'
    dumped = yaml.safe_dump(text, allow_unicode=True, width=float("inf"), default_style=style)
    return dumped.splitlines()[0]


def _fields(categorical: list[Column], numerical: list[Column], rows: int) -> list[str]:
    lines = ["categorical:"] if categorical else []
    lines += [f"  - {_quote(c.name)}   # {_facts(c, rows)}" for c in categorical]
    if numerical:
        lines.append("numerical:")
    for c in numerical:
        options = "{log: true}" if _is_skewed(c) else "{}"
        low_high = f"{c.low:g} to {c.high:g}, median {c.median:g}" if c.low is not None else ""
        lines.append(f"  {_quote(c.name)}: {options}   # {_facts(c, rows)}, {low_high}")
    return lines


def _yaml(guess: Guess, source: Path, rows: int) -> str:
    lines = [
        f"# Suggested from {rows:,} rows of {visible(source.name)}. Read it, correct it, then run",
        f"# grap-seq prepare dataset=table source={visible(str(source))}",
        f"name: {_quote(suggested_path(source).stem)}",
        f"id: {_quote(guess.id.name)}   # {_facts(guess.id, rows)}",
        f"time: {_quote(guess.time.name)}   # {_facts(guess.time, rows)}",
    ]
    if guess.time.time_format is not None:
        lines.append(f"time_format: {_quote(guess.time.time_format)}")
    comment = "the unit in which gaps are a few to a few hundred: second minute hour day week"
    if not _is_dated(guess.time):
        comment = "a guess: what does 1 mean in this column? second minute hour day week"
    lines.append(f"time_unit: {guess.unit}   # {comment}")
    lines += _fields(guess.categorical, guess.numerical, rows)
    if _is_dated(guess.time):
        lines.append("# calendar: [hour, weekday, month]   # further fields, made from the time")
    if guess.static:
        lines.append("static:   # constant within an id: facts about it, or labels")
        inner = _fields(guess.static_categorical, guess.static_numerical, rows)
        lines += [f"  {line}" for line in inner]
    lines.append(
        "# until: newest   # or a date or column: up to when these histories were observed"
    )
    label = "null" if guess.label is None else _quote(guess.label.name)
    why = "a guess: it is constant within an id" if guess.label else "no column looks like one"
    lines.append(f"label: {label}   # {why}")
    lines.append("# metric: mae   # where the label is a number; without it it is a class")
    lines.append("# labels: labels.csv   # where labels stand in a file of their own: id and label")
    if guess.left_out:
        names = ", ".join(visible(c.name) for c in guess.left_out)
        lines.append(
            f"# Left out (empty, constant, another time, or different in every row): {names}"
        )
    lines.append("split: {validation: 0.15, test: 0.15, seed: 42}")
    return "\n".join(lines) + "\n"


def _table(guess: Guess, source: Path, rows: int) -> Table:
    table = Table(title=f"{source.name}: {rows:,} rows looked at", title_justify="left")
    for name in ("column", "used as", "looks like"):
        table.add_column(name)
    table.add_column("values", justify="right")
    table.add_column("missing", justify="right")
    uses = [
        ("id", [guess.id]),
        ("time", [guess.time]),
        ("categorical", guess.categorical),
        ("numerical", guess.numerical),
        ("static", guess.static),
        ("label", [guess.label] if guess.label else []),
        ("left out", guess.left_out),
    ]
    for use, columns in uses:
        for c in columns:
            share = f"{c.missing / rows:.1%}"
            table.add_row(c.name, use, c.time_format or c.kind, f"{c.distinct:,}", share)
    return table
