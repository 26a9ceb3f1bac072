"""What the cells of a table's columns hold: numbers, dates in some format, or text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.number_times import looks_like
from grap_seq.prep.engines.base import parse_time
from grap_seq.prep.stages.cells import as_number, nan
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
    """What the sampled cells of a column hold."""

    name: str
    kind: str  # time, integer, number, text or none
    time_format: str | None
    present: int
    missing: int
    distinct: int
    low: float | None = None
    median: float | None = None
    high: float | None = None


def look(connection: Connection, rows: ir.Table, name: str) -> Column:
    """Examine one column of a table."""
    cell = rows[name]
    kind, time_format = "text", None
    if cell.type().is_string():
        cell = cell.strip().nullif("")
        kind, time_format = _look_at_text(connection, rows.select(cell=cell))
    elif cell.type().is_timestamp() or cell.type().is_date():
        kind = "time"
    elif cell.type().is_integer():
        kind = "integer"
    elif cell.type().is_numeric():
        kind = "number"
    if kind == "integer" and (packed := numbers_format(connection, rows, name)) in PACKED:
        kind, time_format = "time", packed
    facts: dict[str, ir.Value] = {
        "present": cell.count(),
        "missing": cell.isnull().sum(),
        "distinct": cell.nunique(),
    }
    if kind in ("integer", "number"):
        number = cell.try_cast("float64")
        number = ibis.ifelse(number.isnan() | number.isinf(), ibis.null("float64"), number)
        facts |= {"low": number.min(), "median": number.quantile(0.5), "high": number.max()}
    found = connection.to_pyarrow(rows.aggregate(**facts)).to_pylist()[0]
    return Column(name, kind if found["present"] else "none", time_format, **found)


def numbers_format(connection: Connection, rows: ir.Table, name: str) -> str | None:
    """The `time_format` that the numbers of a column look like, if any."""
    number = as_number(rows[name], name).nullif(nan())
    cells = rows.select(number=number).filter(number.notnull()).limit(SAMPLE)
    return looks_like(connection.to_pyarrow(cells)["number"].to_pylist())


def _look_at_text(connection: Connection, cells: ir.Table) -> tuple[str, str | None]:
    """Kind of a text column and its time format, where all (or nearly all) cells agree."""
    cell = cells.cell
    number = cell.try_cast("float64")
    tries = {
        "present": cell.count(),
        "number": number.count(),
        "integer": (number == number.round()).sum(),
        "time": cell.try_cast("timestamp('UTC')").count(),
        **{form: parse_time(cell, form).count() for form in FORMATS},
    }
    found = connection.to_pyarrow(cells.aggregate(**tries)).to_pylist()[0]
    enough = 0.95 * found["present"]
    if not found["present"]:
        return "none", None
    if found["number"] >= enough:
        return ("integer" if found["integer"] == found["number"] else "number"), None
    if found["time"] >= enough:
        return "time", None
    best = max(FORMATS, key=lambda form: found[form])
    return ("time", best) if found[best] >= enough else ("text", None)
