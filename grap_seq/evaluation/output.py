"""Where a command writes: into the run, or into a folder that may hold files of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from grap_seq import seal
from grap_seq.files import suffix
from grap_seq.lock import locked

SCRATCH = "features-"


@dataclass(frozen=True)
class Output:
    """A folder that files are written to, none of which replaces one of the user's.

    Args:
        run: the run that they are made from, and whose checksums.jsonl has those inside it.
        folder: the folder; outside the run it has a checksums.jsonl of its own.
    """

    run: Path
    folder: Path

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

    def remove(self, name: str) -> None:
        """Remove a file of ours, if there is one."""
        seal.remove(self._root, self._sealed(name))

    def scratch(self) -> AbstractContextManager[str]:
        """A folder for files that are needed for a while; a killed process's is removed later."""
        return tempfile.TemporaryDirectory(suffix(), SCRATCH, self.folder)

    @property
    def _inside(self) -> bool:
        return self.folder.resolve().is_relative_to(self.run.resolve())

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
            ours = sealed in known and (self._inside or not seal.problem(self._root, sealed))
            if path.exists() and not ours:
                raise FileExistsError(
                    f"{path} is not a file of grap_seq, or was changed since: it is left as it is;"
                    " move it, or choose another output="
                )
