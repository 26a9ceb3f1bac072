"""Faults on the way to the disk: kills and a full disk at every call that changes a folder.

The calls are those of `preload.c`, a library that a process has to be started with. `Driver` starts
one, which imports PyTorch and Lightning once and forks a child for every fault:

    with Driver() as driver:
        whole = driver.run("tests.training.runs:train", folder)
        for n in range(1, whole.count + 1):
            found = driver.run("tests.training.runs:train", folder, n=n, kind="kill")
            assert found.killed
            ...

In a child, or any other process with the library, `at` and `count` can be used by themselves.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

SOURCE = Path(__file__).with_name("preload.c")
# "kill": SIGKILL after half of what the call was to write. "full": ENOSPC from this call on.
Kind = Literal["kill", "full"]
KINDS: dict[Kind, int] = {"kill": 1, "full": 2}
# What is imported once, before the first fork.
IMPORTS = ("torch", "lightning", "pyarrow.parquet", "pandas", "safetensors.torch")


def compiler() -> str | None:
    """The C compiler of this machine; None: there is none, or its libraries are not glibc's."""
    return shutil.which("cc") if sys.platform == "linux" else None


def build(folder: Path, source: Path = SOURCE) -> Path:
    """Compile the library, or another one; returns its path."""
    found, library = compiler(), folder / f"{source.stem}.so"
    assert found is not None, "no C compiler: skip the test"
    subprocess.run(
        [found, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"],
        check=True,
        capture_output=True,
        text=True,
    )
    return library


def _library() -> Any:
    loaded = ctypes.CDLL(None)
    assert hasattr(loaded, "faults_arm"), "this process was not started with the library"
    loaded.faults_point.restype = ctypes.c_char_p
    return loaded


@contextmanager
def at(folder: Path, n: int = 0, kind: Kind = "kill") -> Iterator[None]:
    """Count the calls that change a folder, and let the n-th one fail (0: none)."""
    library = _library()
    library.faults_arm(os.fsencode(folder.resolve()), ctypes.c_long(n), KINDS[kind])
    try:
        yield
    finally:
        library.faults_disarm()


def count() -> int:
    """Calls since the beginning of the last `at`."""
    return int(_library().faults_count())


def points() -> list[str]:
    """These calls in words, such as "write checkpoints/last.ckpt"; of many, the last 16384."""
    library = _library()
    return [library.faults_point(ctypes.c_long(n)).decode() for n in range(1, count() + 1)]


@dataclass(frozen=True)
class Outcome:
    """What became of a child.

    Attributes:
        status: exit code, or minus the signal that ended it.
        error: the exception that it ended with, as text; None: without one, or killed.
        points: the calls, in words; of a killed child unknown.
    """

    status: int
    error: str | None = None
    points: Sequence[str] = ()

    @property
    def count(self) -> int:
        return len(self.points)

    @property
    def killed(self) -> bool:
        return self.status == -9


class Driver:
    """A process that forks a child for every fault; a context manager.

    Args:
        folder: where the library is compiled.
        imports: modules to import before the first fork, besides torch and lightning.
    """

    def __init__(self, folder: Path, imports: Sequence[str] = ()) -> None:
        self.library, self.imports = build(folder), (*IMPORTS, *imports)

    def __enter__(self) -> Driver:
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.driver", str(theirs.fileno()), *self.imports],
            env={**os.environ, "LD_PRELOAD": str(self.library), "OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._process.wait()

    def here(self, function: str, folder: Path, *arguments: Any) -> Outcome:
        """Call it in the process that forks: what only a first time needs, no child does anew."""
        self._connection.send((function, folder, arguments, None, "kill"))
        outcome: Outcome = self._connection.recv()
        return outcome

    def run(
        self, function: str, folder: Path, *arguments: Any, n: int = 0, kind: Kind = "kill"
    ) -> Outcome:
        """Call "module:function" with a folder and more in a child; let its n-th call fail.

        Args:
            function: where it is.
            folder: whose changes are counted; the first argument.
            arguments: more of them, to be pickled.
            n: the call; 0: none.
            kind: how it fails.
        """
        self._connection.send((function, folder, arguments, n, kind))
        outcome: Outcome = self._connection.recv()
        return outcome
