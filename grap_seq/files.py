"""Files that are either whole or absent, also when the process is killed while it writes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Bytes of a file's name that leave room for an ending; file systems take 255.
LONGEST = 200

# Pattern of all files and folders below a folder.
EVERYTHING = ("**/*",)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        # hashlib.file_digest needs Python 3.11; the package supports 3.10.
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def suffix() -> str:
    """End of the names of this process's unfinished files and folders."""
    return f".tmp-{os.getpid()}"


def remove_leftovers(folder: Path, names: Sequence[str] = EVERYTHING) -> None:
    """Remove unfinished files and folders of processes that were killed.

    Args:
        folder: a folder that this process holds (`grap_seq.lock`): no other one writes there.
        names: of the finished ones in it, or patterns of them.
    """
    for name in names:
        for path in [*folder.glob(f"{name}.tmp-*")]:
            if not path.suffix.removeprefix(".tmp-").isdecimal():
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def file_name(text: str) -> str:
    """A name for a file or folder that stands for any text: one that leads nowhere else.

    What a file name cannot hold is written as in an address, and so is a dot at the beginning:
    ".." is a folder that exists. A long text is cut and told apart by its SHA-256.
    """
    name = quote(text, safe=" =,", errors="surrogateescape")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    On an error the temporary file is removed and an earlier `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}{suffix()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
