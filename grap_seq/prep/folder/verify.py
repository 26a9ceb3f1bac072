"""The files of a prepared folder are those that its manifest names, as they were written.

Whoever reads a folder has it verified first. Hashing a gigabyte takes about a second, so a file
that was in order is remembered by its size and times, and hashed again when they change. Damage
that leaves them as they are, such as a failing disk's, is found by `grap-seq validate`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grap_seq import seal
from grap_seq.files import sha256, write_json
from grap_seq.prep.folder.manifest import MANIFEST, Manifest
from grap_seq.schema import SPLITS

CACHE = ".cache"
REMEDY = "restore it from a copy, or make the folder again"
DESCRIPTIONS = ("schema.yaml", "vocab.json")


def verify(folder: Path) -> Manifest:
    """Check a prepared folder before it is read, each state of a file once.

    Returns:
        Its manifest.

    Raises:
        FileNotFoundError: it is no prepared folder.
        ValueError: a file is damaged, missing or of another folder; names the first one.
    """
    manifest, memory = Manifest.load(folder), Memory(folder)
    for problem in damage(folder, manifest, memory.intact):
        raise ValueError(f"{folder}/{problem}; {REMEDY}")
    memory.save()
    return manifest


def check_file(folder: Path, name: str) -> None:
    """Check one small file of a prepared folder or of a run, by whichever list the folder has.

    Raises:
        ValueError: it is damaged, or of another folder.
    """
    if not (folder / MANIFEST).is_file():
        seal.check(folder, name, REMEDY)
        return
    recorded = Manifest.load(folder).files.get(name, {}).get("sha256")
    if sha256(folder / name) != recorded:
        raise ValueError(f"{folder / name} has another checksum than in {MANIFEST}; {REMEDY}")


def damage(folder: Path, manifest: Manifest, intact: Callable[[Path, str], bool]) -> Iterator[str]:
    """What is wrong with the files of a folder, as "name: what".

    Args:
        folder: a prepared folder.
        manifest: its manifest.
        intact: whether the file at a path has a SHA-256.
    """
    for name, facts in manifest.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name}: missing"
        elif not intact(path, facts["sha256"]):
            yield f"{name}: another checksum than in {MANIFEST}"
    parts = [path for split in SPLITS for path in sorted((folder / split).glob("*.parquet"))]
    for path in (*parts, *(folder / name for name in DESCRIPTIONS)):
        name = path.relative_to(folder).as_posix()
        if name not in manifest.files:
            yield f"{name}: not in {MANIFEST}"


class Memory:
    """Which files were found in order, and what they looked like then.

    It lies in the folder's cache. Size and modification time may be those of a copy that went
    wrong; the time of the inode's last change, which no program can set, is new in every copy.
    """

    def __init__(self, folder: Path) -> None:
        self._path = cache_of(folder) / "verified.json"
        try:
            self._known: dict[str, Any] = dict(json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            # None yet, or a damaged one: everything is hashed again.
            self._known = {}
        self._seen: dict[str, Any] = {}

    def intact(self, path: Path, checksum: str) -> bool:
        """Whether a file has a SHA-256."""
        name, facts = str(path.absolute()), path.stat()
        state = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, checksum]
        if self._known.get(name) != state and sha256(path) != checksum:
            return False
        self._seen[name] = state
        return True

    def save(self) -> None:
        """Remember what was found in order."""
        if not self._seen.items() <= self._known.items():
            write_json(self._path, {**self._known, **self._seen})


def cache_of(folder: Path) -> Path:
    """Where to keep what is derived from a prepared folder: in it, or where that cannot be written
    in the user's cache folder (`XDG_CACHE_HOME`, by default ~/.cache).
    """
    own = folder / CACHE
    if os.access(own if own.is_dir() else folder, os.W_OK):
        return own
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "grap_seq" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
