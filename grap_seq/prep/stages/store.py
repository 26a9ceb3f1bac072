"""Where the tables of a preparation are between its stages: in Arrow tables, or in work files.

Small data are held and nothing is written but the output; a killed run begins again. Large data go
to files, so that a killed run continues behind the stages that it has finished.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


class Store:
    """Tables by name.

    Args:
        connection: computes them, and reads those in files.
        folder: of the files.
        held: whether they are held.
    """

    def __init__(self, connection: Connection, folder: Path, held: bool) -> None:
        self.connection, self.folder, self.held = connection, folder, held
        self._arrow: dict[str, pa.Table] = {}
        self._tables: dict[str, ir.Table] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tables or self.file(name).exists()

    def file(self, name: str) -> Path:
        """The work file of a table."""
        return self.folder / f"{name}.parquet"

    def put(self, name: str, table: ir.Table) -> None:
        """Compute a table and keep it, in its own order."""
        if self.held:
            self._arrow[name] = self.connection.to_pyarrow(table)
            self._tables[name] = ibis.memtable(self._arrow[name])
        else:
            self.connection.write(table, self.file(name))

    def get(self, name: str) -> ir.Table:
        """A table that was kept."""
        if self.held:
            return self._tables[name]
        return self.connection.read_work(self.file(name))

    def arrow(self, name: str) -> pa.Table:
        """A table that is held."""
        return self._arrow[name]

    def in_order(self, name: str) -> ir.Table:
        """The same with `__position`, which grows in the order in which its rows were read."""
        if self.held:
            return self._tables[name].mutate(__position=ibis.row_number())
        return self.connection.in_order(self.file(name))

    def drop(self, name: str) -> None:
        """Forget a table that no stage needs any more."""
        if self.held:
            self._arrow.pop(name, None)
            self._tables.pop(name, None)
        else:
            path = self.file(name)
            # Spark's are folders.
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
