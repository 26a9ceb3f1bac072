"""What an engine is asked to code one kind of table, compiled before there is any."""

from __future__ import annotations

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.base import Check, Query
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import require_columns
from grap_seq.prep.stages.clean import check_ids, clean
from grap_seq.prep.stages.encoding import encode_static
from grap_seq.prep.stages.facts import facts_of_ids, require_facts, with_facts
from grap_seq.prep.stages.grouping import group_events, with_id
from grap_seq.prep.stages.problems import Problems, check_events
from grap_seq.prep.stages.times import check_time_kind
from grap_seq.prep.stages.until import (
    MOMENT,
    check_observed,
    common_until,
    moment_table,
    with_until,
)
from grap_seq.prep.stages.until import UNTIL as OBSERVED
from grap_seq.schema import UNTIL

# What `clean` and the checks need of a row beside its own columns.
POSITION = "__position"


class CodingPlan:
    """The expressions of preparation over a table that may be filled later.

    Args:
        connection: the engine.
        state: vocabularies and scalers.
        spec: the state's own, or with another `until`.
        table: the events, with `__file`.
        where: what to call them in errors.

    Raises:
        ValueError: a missing column, or one of a type that cannot be used.
    """

    def __init__(
        self, connection: DuckDB, state: State, spec: DatasetSpec, table: ir.Table, where: str
    ) -> None:
        self.connection, self.state, self.spec, self.where = connection, state, spec, where
        kind = state.time_kind
        with self.connection.clear_errors(f"reading {where}"):
            with connection.planning() as self._of_table:
                table = explode(connection, table, spec.event_columns, where)
                require_columns(table, spec.columns, where)
                check_ids(connection, table, spec, where)
                check_time_kind(connection, table, spec, kind, where)
                require_facts(connection, table, (), spec, kind, where)
            cleaned = clean(table, spec, kind)
            self._clean = connection.compiled(cleaned)
        columns = cleaned.schema().to_pyarrow().append(pa.field(POSITION, pa.int64()))
        self._cleaned, self._moment = connection.slot(columns), connection.slot(MOMENT)
        numbered = self._cleaned.table
        problems = Problems(connection, strict=True, remedy="correct or remove the row")
        with connection.planning() as self._of_events:
            check_events(connection, numbered, spec, problems)
        self._of_facts: list[Check] = []
        self._facts: Query | None = None
        if spec.facts or spec.until is not None:
            with connection.planning() as self._of_facts:
                self._facts = connection.compiled(self._facts_of(numbered, problems))

    def _facts_of(self, events: ir.Table, problems: Problems) -> ir.Table:
        """Id, static fields and `until` of every sequence."""
        spec, rows = self.spec, events
        if spec.facts:
            known = facts_of_ids(events, events, spec.id, spec.facts, problems)
            rows = with_facts(events, spec.id, known)
        if spec.until is not None and spec.until_column is None:
            rows = with_until(rows, self._moment.table)
        columns: dict[str, ir.Value] = {name: rows[name].min() for name in spec.static.names}
        if spec.until is not None:
            check_observed(rows, spec, problems)
            end, first = rows[OBSERVED].min(), rows["event_time"].min()
            columns[UNTIL] = end - first if spec.relative_time else end
        sequences = rows.group_by(spec.id).aggregate(__events=rows.count(), **columns)
        return sequences.select(spec.id, *columns)

    def encode(self, spec: DatasetSpec, *, cells: bool = False) -> pa.Table:
        """One row a sequence; see `grap_seq.prep.transform.encode`.

        Args:
            spec: the plan's, or with another common `until`.
            cells: see `Coder.encode`.
        """
        connection, where, state = self.connection, self.where, self.state
        with connection.clear_errors(f"reading {where}"):
            for check in self._of_table:
                check.make()
            cleaned = self._clean()
        if not cleaned.num_rows:
            raise ValueError(f"{where}: the table has no events")
        cleaned = cleaned.append_column(POSITION, pa.array(range(cleaned.num_rows), pa.int64()))
        # Sequences are numbered as they come first.
        ids = cleaned[spec.id].combine_chunks().dictionary_encode()
        with connection.clear_errors(f"coding {where}"), self._cleaned.filled(cleaned):
            for check in self._of_events:
                check.make()
            fields = [*state.categorical, *state.numerical]
            keep = ["event_time", *fields] if cells else []
            grouped = group_events(cleaned, ids.indices.to_numpy(), state, keep)
            if self._facts is not None:
                facts = self._coded_facts(self._facts, cleaned, spec)
                facts = facts.take(pc.index_in(ids.dictionary, facts[spec.id]))
                for name in facts.column_names[1:]:
                    grouped = grouped.append_column(name, facts[name])
        try:
            return with_id(ids.dictionary, grouped, state)
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"{where}: ids of '{spec.id}' were integers in preparation, these are not ({error})"
            ) from error

    def _coded_facts(self, ask: Query, cleaned: pa.Table, spec: DatasetSpec) -> pa.Table:
        with self._moment.filled(self._common_until(cleaned, spec)):
            for check in self._of_facts:
                check.make()
            found = ask()
        for name, values in encode_static(found, self.state).items():
            found = found.set_column(found.column_names.index(name), name, pa.array(values))
        return found

    def _common_until(self, cleaned: pa.Table, spec: DatasetSpec) -> pa.Table:
        if spec.until is None or spec.until_column is not None:
            return MOMENT.empty_table()
        times = cleaned["event_time"]
        until = common_until(spec, self.state.time_kind, lambda: pc.max(times).as_py())
        return moment_table(until)
