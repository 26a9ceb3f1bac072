"""DuckDB for questions that are asked again and again, of a few events each time."""

from __future__ import annotations

from uuid import uuid4

import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb.converter import DuckDBPyArrowData

from grap_seq.prep.engines.base import Query
from grap_seq.prep.engines.duckdb import DuckDB


class RepeatedDuckDB(DuckDB):
    """Questions are prepared statements: to plan one takes ten times as long as to answer it.

    Their answers are held twice, which many events would make too much.
    """

    def __init__(self, memory_limit: str) -> None:
        # One thread has no others to wait for, and none that a forked process would lack.
        super().__init__(memory_limit, 1, None)

    def compiled(self, table: ir.Table) -> Query:
        self.backend._run_pre_execute_hooks(table)
        name, schema = f"query_{uuid4().hex}", table.schema().to_pyarrow()
        self.backend.raw_sql(f"PREPARE {name} AS {self.backend.compile(table)}")

        def ask() -> pa.Table:
            found = self.backend.con.sql(f"EXECUTE {name}").to_arrow_table()
            if found.schema == schema:
                return found
            return table.__pyarrow_result__(found, data_mapper=DuckDBPyArrowData)

        return ask
