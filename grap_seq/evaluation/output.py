"""Where a command writes: into the run, or into a folder that may hold files of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq import seal
from grap_seq.files import suffix
from grap_seq.lock import locked
from grap_seq.log_file import keep_in
from grap_seq.terminal import progress

SCRATCH = "features-"


@dataclass(frozen=True)
class Output:
    """A folder that files are written to, none of which replaces one of the user's.

    Args:
        run: the run that they are made from, and whose checksums.jsonl has those inside it.
        folder: the folder; outside the run it has a checksums.jsonl of its own.
        alone: whether it has one, and a lock of its own, inside the run too.
    """

    run: Path
    folder: Path
    alone: bool = False

    @contextmanager
    def held(self, names: Sequence[str]) -> Iterator[None]:
        """Hold the folder while files of these names are written.

        Raises:
            FileExistsError: another process is at work there or in the run, or a file of one of
                the names is not ours.
        """
        if self._inside:
            with locked(self.run):
                self._refuse(names)
                keep_in(self.run)
                self.folder.mkdir(parents=True, exist_ok=True)
                yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        ours = (*names, f"{SCRATCH}*")
        with locked(self.run, shared=True), locked(self.folder, names=ours):
            self._refuse(names)
            yield

    def write(self, name: str) -> AbstractContextManager[Path]:
        """As `seal.write` does."""
        return seal.write(self._root, self._sealed(name))

    def write_json(self, name: str, content: Any) -> None:
        """As `seal.write_json` does."""
        seal.write_json(self._root, self._sealed(name), content)

    def write_tables(
        self, name: str, tables: Iterator[pa.Table], count: int, metadata: Mapping[str, str]
    ) -> None:
        """Write so many tables to a parquet file as they come; none: remove the file."""
        if not count:
            # One of other data would stay beside the new ones.
            self.remove(name)
            return
        writer: pq.ParquetWriter | None = None
        with self.write(name) as temporary, progress() as shown:
            for table in shown.track(tables, count, description=name):
                table = table.replace_schema_metadata(metadata)
                writer = writer or pq.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
            assert writer is not None
            writer.close()

    def remove(self, name: str) -> None:
        """Remove a file of ours, if there is one."""
        seal.remove(self._root, self._sealed(name))

    def scratch(self) -> AbstractContextManager[str]:
        """A folder for files that are needed for a while; a killed process's is removed later."""
        return tempfile.TemporaryDirectory(suffix(), SCRATCH, self.folder)

    @property
    def _inside(self) -> bool:
        return not self.alone and self.folder.resolve().is_relative_to(self.run.resolve())

    @property
    def _root(self) -> Path:
        return self.run if self._inside else self.folder

    def _sealed(self, name: str) -> str:
        path = (self.folder.resolve() / name).relative_to(self._root.resolve())
        return path.as_posix()

    def _refuse(self, names: Sequence[str]) -> None:
        known = seal.records(self._root)
        for name in names:
            path, sealed = self.folder / name, self._sealed(name)
            # A damaged file of the run is replaced; elsewhere a changed one is the user's.
            replaced = self._inside or self.alone
            ours = sealed in known and (replaced or not seal.problem(self._root, sealed))
            if path.exists() and not ours:
                raise FileExistsError(
                    f"{path} is not a file of grap_seq, or was changed since: it is left as it is;"
                    " move it, or choose another output="
                )
