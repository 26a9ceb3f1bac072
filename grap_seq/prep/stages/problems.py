"""Bad rows: in strict mode the first one is an error that names it; otherwise all are counted.

| what                                   | with strict=false            |
|----------------------------------------|------------------------------|
| event without id or time               | the row is dropped           |
| time that cannot be read               | the row is dropped           |
| repeated event, where `unique` is set  | the row is dropped           |
| NaN, infinite or unreadable number     | the cell counts as missing   |
| label without id, label without events | the label is dropped         |
| label without (readable) `label_time`  | the label is dropped         |
| two different labels for one id        | the sequence is unlabelled   |
| the same at one `label_time`           | both labels are dropped      |
| event at or after its label's time     | the row is dropped           |
| event after `until`, or without it     | the row is dropped           |
| two dates in the column of `until`     | the sequence has none        |
| a static field with two values         | it is missing                |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import yaml

from grap_seq.prep.describe.spec import DatasetSpec

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

REMEDY = "fix it or pass strict=false to drop such rows (of a number: the cell) and count them"
# What other programs write for a missing value.
MISSING = re.compile(r"#?n/?a|nan|null|none|nil|[-?.]+|\\n|missing|unknown", re.I)
COMMA = re.compile(r"\s*[-+]?[0-9]*,[0-9]+\s*")


class Problems:
    """Counts of bad rows by reason, or ValueError for the first one in strict mode."""

    def __init__(self, connection: Connection, strict: bool, remedy: str = REMEDY) -> None:
        self.connection = connection
        self.strict = strict
        self.remedy = remedy
        self.counts: dict[str, int] = {}

    def note(self, reason: str, rows: ir.Table) -> None:
        """Count rows that are left out and yet no mistake."""
        count = self.connection.to_pyarrow(rows.count()).as_py()
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count

    def report(
        self,
        whole: ir.Table,
        rows: ir.Table,
        reason: str,
        column: str | None = None,
        remedy: str | None = None,
        advise: Callable[[str], str] | None = None,
    ) -> None:
        """Count `rows`, or raise for the first of them, with the cell in `column`.

        `whole` is the table of which they are a part. Both have `__position` (in the order of the
        source) and `__file`; `__row` is the number within the file, where the recipe knows it.
        `advise` says of the cell what to write in the description.
        """

        def judge(found: pa.Table) -> None:
            count = found["n"][0].as_py()
            if count and self.strict:
                raise self._error(whole, rows, count, reason, column, remedy, advise)
            if count:
                self.counts[reason] = self.counts.get(reason, 0) + count

        self.connection.check(rows.aggregate(n=rows.count()), judge)

    def _error(
        self,
        whole: ir.Table,
        rows: ir.Table,
        count: int,
        reason: str,
        column: str | None,
        remedy: str | None,
        advise: Callable[[str], str] | None,
    ) -> ValueError:
        bad = self.connection.to_pyarrow(rows.order_by("__position").limit(1)).to_pylist()[0]
        number = bad.get("__row")
        if number is None:
            until = whole.filter(
                (whole["__file"] == bad["__file"]) & (whole["__position"] <= bad["__position"])
            )
            number = self.connection.to_pyarrow(until.count()).as_py()
        value = f": {str(bad[column])!r}" if column is not None else ""
        more = f" (the first of {count:,})" if count > 1 else ""
        if remedy is None:
            remedy = self.remedy
            if advise is not None and remedy == REMEDY:
                remedy = advise(bad[column])
        return ValueError(f"{bad['__file']}, row {number}: {reason}{value}{more}; {remedy}")


def of_number(cell: str) -> str:
    """What to do about a cell that is no finite number."""
    if MISSING.fullmatch(cell.strip()):
        missing = yaml.safe_dump([cell.strip()], default_flow_style=True).strip()
        return f"where that means missing, write na_values: {missing} in the description"
    if COMMA.fullmatch(cell):
        return 'where the comma is the decimal sign, write decimal: "," in the description'
    return f"numbers are written as 1234.5, and a missing one is an empty cell: {REMEDY}"


def of_time(cell: str) -> str:
    """What to do about a cell that is no time."""
    return (
        "`time_format` in the description says how times are written, all of a column in one way: "
        f"{REMEDY}"
    )


def check_events(
    connection: Connection, cleaned: ir.Table, spec: DatasetSpec, problems: Problems
) -> None:
    """Count or raise for null ids, null or unreadable times and numbers that are none.

    `cleaned` comes from `clean`, with the columns that `Problems.report` needs.
    """
    time, id_column = cleaned["event_time"], cleaned[spec.id]
    usable = id_column.notnull() & time.notnull() & ~time.isnan()
    unread = id_column.notnull() & time.isnan()
    checks: list[tuple[str, ir.BooleanValue, Callable[[str], str] | None]] = [
        (f"no id in column '{spec.id}'", id_column.isnull(), None),
        (f"no time in column '{spec.time}'", id_column.notnull() & time.isnull(), None),
        (f"unreadable time in column '{spec.time}'", unread, of_time),
    ]
    for name in (*spec.numerical, *spec.ties):
        reason = f"no finite number in column '{spec.ties.get(name, name)}'"
        checks.append((reason, usable & cleaned[name].isnan(), of_number))
    # One scan counts all reasons: for a clean table that is all.
    counts = cleaned.aggregate(
        **{str(place): condition.sum() for place, (_, condition, _) in enumerate(checks)}
    )

    def judge(table: pa.Table) -> None:
        (found,) = table.to_pylist()
        for place, (reason, condition, advise) in enumerate(checks):
            if found[str(place)]:
                column = None if advise is None else "__bad"
                problems.report(cleaned, cleaned.filter(condition), reason, column, advise=advise)

    connection.check(counts, judge)
    if spec.unique:
        rows = _numbered(_usable(cleaned, spec), spec)
        again = rows.filter(rows["__copy"] > 0).drop("__copy")
        problems.report(cleaned, again, "repeated event", spec.id)


def _usable(cleaned: ir.Table, spec: DatasetSpec) -> ir.Table:
    time = cleaned["event_time"]
    return cleaned.filter(cleaned[spec.id].notnull() & time.notnull() & ~time.isnan())


def _numbered(rows: ir.Table, spec: DatasetSpec) -> ir.Table:
    """`__copy`: 0 for the first of equal rows in the order of the source, 1 for the next."""
    columns = (spec.id, "event_time", *spec.categorical, *spec.numerical, *spec.ties)
    equal = ibis.window(group_by=[rows[name] for name in columns], order_by=rows["__position"])
    return rows.mutate(__copy=ibis.row_number().over(equal))


def without_problems(cleaned: ir.Table, spec: DatasetSpec) -> ir.Table:
    """Rows with id and time, once each where `unique`; numbers that are none are missing."""
    rows = _usable(cleaned, spec)
    if spec.unique:
        rows = _numbered(rows, spec).filter(ibis._["__copy"] == 0).drop("__copy")
    return rows.mutate(
        **{
            name: ibis.ifelse(rows[name].isnan(), ibis.null("float64"), rows[name])
            for name in (*spec.numerical, *spec.ties)
        }
    )
