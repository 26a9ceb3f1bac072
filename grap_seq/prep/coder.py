"""New raw events to codes, again and again: the questions to the engine are compiled once.

They depend on the columns of a table alone. Compiling them takes ten times as long as asking them
of one customer's events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

import ibis
import pyarrow as pa

from grap_seq.prep.coding_plan import CodingPlan
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.engines.repeated import RepeatedDuckDB
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.headers import check_names
from grap_seq.prep.read.tables import read_table, to_arrow

MEMORY = "2GB"
# Longer tables have a connection of their own, with all threads.
FEW_EVENTS = 100_000
# Kinds of tables whose plans are kept.
PLANS = 16


class Coder:
    """Codes events as `prepare` did, from any number of threads.

    Args:
        state: vocabularies and scalers.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._lock = Lock()
        self._connection: DuckDB | None = None
        # By the table's columns and the column of `until`.
        self._plans: dict[tuple[pa.Schema, str | None], _TablePlan] = {}

    def __reduce__(self) -> Any:
        # A copy in another process has a connection of its own.
        return Coder, (self.state,)

    def encode(
        self, events: Any, until: str | float | date | None = None, *, cells: bool = False
    ) -> pa.Table:
        """One row a sequence; see `grap_seq.prep.transform.encode`.

        Args:
            events: as there.
            until: as there.
            cells: whether time and fields are to be there as they were read too, in further columns
                whose names begin with `CELL`; times that are dates in the data's unit since 1970.
        """
        spec, where = self.state.spec, "events"
        if until is not None:
            spec = spec.with_until(until)
        if isinstance(events, str | Path):
            where = str(events)
            with _connected() as connection:
                table = read_table(connection, Path(events))
                plan = CodingPlan(connection, self.state, spec, table, where)
                rows = plan.encode(spec, cells=cells)
        else:
            given = to_arrow(events)
            check_names(given.column_names, where)
            given = _as_read(given, spec)
            if len(given) <= FEW_EVENTS:
                with self._lock:
                    rows = self._encode_few(given, spec, cells)
            else:
                with _connected() as connection:
                    of_table = _TablePlan(connection, self.state, spec, given.schema)
                    rows = of_table.encode(given, spec, cells=cells)
        return rows

    def _encode_few(self, given: pa.Table, spec: DatasetSpec, cells: bool) -> pa.Table:
        kind = given.schema, spec.until_column
        if kind not in self._plans and len(self._plans) == PLANS:
            self._close()
        if self._connection is None:
            self._connection = RepeatedDuckDB(MEMORY)
        if kind not in self._plans:
            self._plans[kind] = _TablePlan(self._connection, self.state, spec, given.schema)
        try:
            return self._plans[kind].encode(given, spec, cells=cells)
        except ValueError:
            if self._plans[kind].spec.until == spec.until:
                raise
        # The words of the error name the `until` that a plan was made with.
        plan = _TablePlan(self._connection, self.state, spec, given.schema)
        return plan.encode(given, spec, cells=cells)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._plans.clear()
        if self._connection is not None:
            self._connection.disconnect()
        self._connection = None


class _TablePlan:
    """What is asked of tables in memory with the same columns."""

    def __init__(
        self, connection: DuckDB, state: State, spec: DatasetSpec, columns: pa.Schema
    ) -> None:
        self.spec, self._given = spec, connection.slot(columns)
        table = self._given.table.mutate(__file=ibis.literal("events"))
        self._plan = CodingPlan(connection, state, spec, table, "events")

    def encode(self, given: pa.Table, spec: DatasetSpec, *, cells: bool) -> pa.Table:
        with self._given.filled(given):
            return self._plan.encode(spec, cells=cells)


def _as_read(table: pa.Table, spec: DatasetSpec) -> pa.Table:
    """The used columns, numbered, and of few types: each kind of table has a plan of its own."""
    wanted = list(dict.fromkeys((*spec.columns, *spec.facts)))
    # Of a table that lacks one, all are named in the error.
    if {*wanted} <= {*table.column_names}:
        table = table.select(wanted)
    times, values = {spec.time, spec.until_column}, {*spec.numerical, *spec.static.numerical}
    for place, one in enumerate(table.schema):
        kind = _plain(one.type)
        if one.name in times and pa.types.is_timestamp(kind) and kind.unit != "ns":
            # Times without a zone count as UTC, in which those with one are held.
            kind = pa.timestamp("us")
        if one.name in values and pa.types.is_integer(kind):
            kind = pa.float64()
        # An integer of 2^53 and more is rounded, as scaling would; a time must fit.
        column = table.column(place).cast(kind, safe=kind != pa.float64())
        table = table.set_column(place, one.name, column)
    numbers = pa.array(range(1, table.num_rows + 1), pa.int64())
    # What pandas writes there would tell alike tables apart.
    return table.replace_schema_metadata(None).append_column("__row", numbers)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Text is one type, whether it is large, in a dictionary, or all of it is missing."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null
    return pa.string() if any(is_one(value) for is_one in texts) else kind


@contextmanager
def _connected() -> Iterator[DuckDB]:
    connection = DuckDB(MEMORY, None, None)
    try:
        yield connection
    finally:
        connection.disconnect()
