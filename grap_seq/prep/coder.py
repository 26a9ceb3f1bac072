"""New raw events to codes, again and again: the questions to the engine are compiled once.

They depend on the columns of a table alone. Compiling them takes ten times as long as asking them
of one customer's events.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.coding_plan import CodingPlan
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.headers import check_names
from grap_seq.prep.read.tables import read_table, to_arrow

MEMORY = "2GB"
# Name of the table that plans are made for.
EVENTS = "given_events"
# Longer tables have a connection of their own, with all threads.
FEW_EVENTS = 100_000
# Kinds of tables whose plans are kept.
PLANS = 16
# Below this many events a column of unseen values is no sign of a different coding.
MIN_EVENTS_TO_WARN = 20


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
        self._plans: dict[tuple[pa.Schema, str | None], CodingPlan] = {}

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
                rows = plan.encode({}, spec, cells=cells)
        else:
            given = to_arrow(events)
            check_names(given.column_names, where)
            numbers = pa.array(range(1, given.num_rows + 1), pa.int64())
            given = given.append_column("__row", numbers).replace_schema_metadata()
            if len(given) <= FEW_EVENTS:
                with self._lock:
                    rows = self._encode_few(given, spec, cells)
            else:
                with _connected() as connection:
                    plan = self._plan(connection, given, spec)
                    rows = plan.encode({EVENTS: given}, spec, cells=cells)
        _warn_unseen(rows, self.state, where)
        return rows

    def _encode_few(self, given: pa.Table, spec: DatasetSpec, cells: bool) -> pa.Table:
        kind = given.schema, spec.until_column
        if kind not in self._plans and len(self._plans) == PLANS:
            self._close()
        if self._connection is None:
            # One thread has no others to wait for, and none that a forked process would lack.
            self._connection = DuckDB(MEMORY, 1, None)
        if kind not in self._plans:
            self._plans[kind] = self._plan(self._connection, given, spec)
        try:
            return self._plans[kind].encode({EVENTS: given}, spec, cells=cells)
        except ValueError:
            if self._plans[kind].spec.until == spec.until:
                raise
        # The words of the error name the `until` that a plan was made with.
        plan = self._plan(self._connection, given, spec)
        return plan.encode({EVENTS: given}, spec, cells=cells)

    def _plan(self, connection: DuckDB, given: pa.Table, spec: DatasetSpec) -> CodingPlan:
        table = ibis.table(ibis.Schema.from_pyarrow(given.schema), name=EVENTS)
        table = table.mutate(__file=ibis.literal("events"))
        return CodingPlan(connection, self.state, spec, table, "events")

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._plans.clear()
        if self._connection is not None:
            self._connection.disconnect()
        self._connection = None


@contextmanager
def _connected() -> Iterator[DuckDB]:
    connection = DuckDB(MEMORY, None, None)
    try:
        yield connection
    finally:
        connection.disconnect()


def _warn_unseen(sequences: pa.Table, state: State, where: str) -> None:
    for name, values in state.categorical.items():
        codes = pc.list_flatten(sequences[name])
        if len(codes) >= MIN_EVENTS_TO_WARN and pc.min(codes).as_py() == len(values) + 1:
            warnings.warn(
                f"{where}: no value of '{name}' occurred in the training data; is it written "
                f"differently there ({', '.join(map(repr, values[:3]))}, ...)?",
                stacklevel=4,
            )
