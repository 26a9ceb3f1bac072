"""What the cells of a table's columns hold: numbers, dates in some format, or text.

The columns are Arrow's, which counts and compares them one by one at no cost. The engine, which
reads text as preparation does, is asked twice, however many columns there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.describe.number_times import looks_like
from grap_seq.prep.engines.base import parse_time
from grap_seq.prep.stages.cells import NUMBER
from grap_seq.prep.stages.times import SAMPLE

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

FORMATS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d%b%y:%H:%M:%S",
    "%Y-%m-%d %H",
    "%Y%m%d",
)
# Whole numbers that are dates whatever their column is called; counts since 1970 may be ids.
PACKED = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S")


@dataclass(frozen=True)
class Column:
    """What the cells of a column hold."""

    name: str
    kind: str  # time, integer, number, text or none
    time_format: str | None
    present: int
    missing: int
    distinct: int
    low: float | None = None
    median: float | None = None
    high: float | None = None


def cell(column: ir.Value) -> ir.Value:
    """A cell to be looked at: text without blanks around it, null where nothing is left."""
    kind = column.type()
    if kind.is_nested():
        return column.cast("string")
    return column.strip().nullif("") if kind.is_string() else column


def look(connection: Connection, cells: pa.Table) -> list[Column]:
    """Examine all columns of a table of `cell`s."""
    texts = cells.select([f.name for f in cells.schema if pa.types.is_string(f.type)])
    kinds = {f.name: _kind_of_type(f.type) for f in cells.schema} | _kinds_of_texts(
        connection, texts
    )
    numeric = [name for name in texts.column_names if kinds[name][0] in ("integer", "number")]
    numbers = _as_numbers(connection, texts.select(numeric))
    columns = []
    for name, (kind, time_format) in kinds.items():
        column = cells[name]
        if kind == "integer" and (packed := numbers_format(column)) in PACKED:
            kind, time_format = "time", packed
        missing = column.null_count
        present = len(column) - missing
        facts = Column(
            name,
            kind if present else "none",
            time_format,
            present,
            missing,
            pc.count_distinct(column).as_py(),
        )
        if facts.kind in ("integer", "number"):
            found = numbers[name] if name in numeric else column.cast("float64", safe=False)
            facts = _with_range(facts, found)
        columns.append(facts)
    return columns


def numbers_format(column: pa.ChunkedArray) -> str | None:
    """The `time_format` that the numbers of a column look like, if any."""
    return looks_like(list(islice(_numbers(column), SAMPLE)))


def constant_within(cells: pa.Table, key: str, names: list[str]) -> set[str]:
    """Columns that have at most one value for every value of the column `key`."""
    counts = cells.group_by(key).aggregate([(name, "count_distinct") for name in names])
    return {name for name in names if pc.max(counts[f"{name}_count_distinct"]).as_py() <= 1}


def _numbers(column: pa.ChunkedArray) -> Iterator[float]:
    """The finite numbers of a column of numbers or text."""
    for batch in pa.table({"cell": column}).to_batches(SAMPLE):
        for value in batch["cell"].to_pylist():
            if isinstance(value, str) and not NUMBER.fullmatch(value):
                continue
            if value is not None and math.isfinite(number := float(value)):
                yield number


def _kind_of_type(kind: pa.DataType) -> tuple[str, None]:
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time", None
    if pa.types.is_integer(kind):
        return "integer", None
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", None
    return "text", None


def _kinds_of_texts(connection: Connection, texts: pa.Table) -> dict[str, tuple[str, str | None]]:
    """Kinds of text columns and their time formats, where all (or nearly all) cells agree."""
    counts = [pc.value_counts(column.drop_null()) for column in texts.columns]
    if not sum(map(len, counts)):
        return dict.fromkeys(texts.column_names, ("none", None))
    long = pa.table(
        {
            "place": np.repeat(np.arange(len(counts)), [len(found) for found in counts]),
            "cell": pa.chunked_array([found.field("values") for found in counts]),
            "n": pa.chunked_array([found.field("counts") for found in counts]),
        }
    )
    rows = ibis.memtable(long)
    number = rows["cell"].try_cast("float64")
    read = {
        "present": rows["cell"].notnull(),
        "number": number.notnull(),
        "integer": number == number.try_cast("int64").cast("float64"),
        "time": rows["cell"].try_cast("timestamp('UTC')").notnull(),
        **{form: parse_time(rows["cell"], form).notnull() for form in FORMATS},
    }
    sums = {name: ibis.ifelse(condition, rows["n"], 0).sum() for name, condition in read.items()}
    found = connection.to_pyarrow(rows.group_by("place").aggregate(**sums)).to_pylist()
    by_place = {row["place"]: row for row in found}
    return {
        name: _kind_of_text(by_place.get(place)) for place, name in enumerate(texts.column_names)
    }


def _kind_of_text(found: dict[str, int] | None) -> tuple[str, str | None]:
    """From the number of cells that can be read in each way; None: there are none."""
    if found is None:
        return "none", None
    enough = 0.95 * found["present"]
    if found["number"] >= enough:
        return ("integer" if found["integer"] == found["number"] else "number"), None
    if found["time"] >= enough:
        return "time", None
    best = max(FORMATS, key=lambda form: found[form])
    return ("time", best) if found[best] >= enough else ("text", None)


def _as_numbers(connection: Connection, texts: pa.Table) -> pa.Table:
    """Text as float64, null where it is none."""
    if not texts.num_columns:
        return texts
    rows = ibis.memtable(texts)
    numbers = {name: rows[name].try_cast("float64") for name in texts.column_names}
    return connection.to_pyarrow(rows.select(**numbers))


def _with_range(column: Column, numbers: pa.ChunkedArray) -> Column:
    finite = numbers.filter(pc.is_finite(numbers))
    ends = pc.min_max(finite).as_py()
    (median,) = pc.quantile(finite, 0.5).to_pylist()
    return replace(column, low=ends["min"], median=median, high=ends["max"])
