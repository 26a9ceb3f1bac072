"""Where the tables of a preparation are between its stages: in the engine, or in work files.

Small data are held and nothing is written but the output; a killed run begins again. Large data go
to files, so that a killed run continues behind the stages that it has finished.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import ibis.expr.types as ir

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


class Store:
    """Tables by name.

    Args:
        connection: where they are held, or read from files.
        folder: of the files.
        held: whether they are held.
    """

    def __init__(self, connection: Connection, folder: Path, held: bool) -> None:
        self.connection, self.folder, self.held = connection, folder, held
        self._tables: dict[str, ir.Table] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tables or self.file(name).exists()

    def file(self, name: str) -> Path:
        """The work file of a table."""
        return self.folder / f"{name}.parquet"

    def put(self, name: str, table: ir.Table) -> None:
        """Compute a table and keep it, in its own order."""
        if self.held:
            self._tables[name] = self.connection.held(table)
        else:
            self.connection.write(table, self.file(name))

    def get(self, name: str) -> ir.Table:
        """A table that was kept."""
        if name in self._tables:
            return self._tables[name]
        return self.connection.read_work(self.file(name))

    def in_order(self, name: str) -> ir.Table:
        """The same with `__position`, which grows in the order in which its rows were read."""
        if name in self._tables:
            return self.connection.held_in_order(self._tables[name])
        return self.connection.in_order(self.file(name))

    def drop(self, name: str) -> None:
        """Forget a table that no stage needs any more."""
        if name in self._tables:
            self.connection.release(self._tables.pop(name))
        else:
            path = self.file(name)
            # Spark's are folders.
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
