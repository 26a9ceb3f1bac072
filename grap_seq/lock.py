"""One writer a folder: a lock that the system frees when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from grap_seq.files import EVERYTHING, remove_leftovers

FILE = ".lock"
OWNER = "process "


@contextmanager
def locked(folder: Path, shared: bool = False, names: Sequence[str] = EVERYTHING) -> Iterator[None]:
    """Hold a folder that exists; what killed writers left unfinished in it is removed.

    Args:
        folder: the folder; its file `.lock` names the process that writes.
        shared: other readers may hold it too. A folder without the right to write has no writer.
        names: what is going to be written, where the folder may hold files of the user's.

    Raises:
        FileExistsError: another process holds it; the message says which, where, and since when.
            Or `.lock` is a file of the user's.
        ValueError: it has links, through which writing would end elsewhere.
    """
    _refuse_links(folder, names)
    try:
        file = (folder / FILE).open("a+", encoding="utf-8")
    except OSError:
        if shared and not os.access(folder, os.W_OK):
            yield
            return
        raise
    with file:
        _acquire(file, folder, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        file.seek(0)
        if file.read(len(OWNER)) not in ("", OWNER):
            raise FileExistsError(
                f"{folder / FILE} is no lock of grap_seq; move it, or choose another folder"
            )
        # What it said is of one that has ended.
        file.truncate(0)
        if not shared:
            started = datetime.now(timezone.utc).isoformat(" ", "seconds")
            file.write(f"{OWNER}{os.getpid()} on {socket.gethostname()}, since {started}")
            file.flush()
            remove_leftovers(folder, names)
        yield


def _refuse_links(folder: Path, names: Sequence[str]) -> None:
    # A stranger's folder may have one in the place of any file, the lock included.
    for path in (folder / FILE, *(path for name in names for path in folder.glob(name))):
        if path.is_symlink():
            raise ValueError(
                f"{path} is a link: what is written through it would end elsewhere; put the file or"
                " folder itself there, or copy the whole folder with `cp -rL`"
            )


def _acquire(file: IO[str], folder: Path, kind: int) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read() or "one that reads it"
        raise FileExistsError(
            f"another process is at work in {folder} ({owner}); wait for it, or choose another"
            " folder"
        ) from error
    path = folder / FILE
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise FileExistsError(f"another process has just replaced {folder}; run the command again")
