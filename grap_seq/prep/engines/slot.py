"""A table of which a query knows the columns alone, and that is filled whenever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import ibis
import pyarrow as pa


class Slot:
    """An engine reads what is in it now, by Arrow's stream interface; `DuckDB.slot` makes them.

    Attributes:
        name: what the engine calls it.
        table: it as Ibis knows it.
    """

    def __init__(self, columns: pa.Schema) -> None:
        self.name = f"slot_{uuid4().hex}"
        self.table = ibis.table(ibis.Schema.from_pyarrow(columns), name=self.name)
        self._empty = self._content = columns.empty_table()

    @contextmanager
    def filled(self, content: pa.Table) -> Iterator[None]:
        """Put a table with the slot's columns into it for a while."""
        assert content.schema == self._empty.schema, "a table with other columns"
        self._content = content
        try:
            yield
        finally:
            self._content = self._empty

    def __arrow_c_schema__(self) -> Any:
        return self._empty.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._content.__arrow_c_stream__(requested_schema)
