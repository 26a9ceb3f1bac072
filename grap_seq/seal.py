"""Files of a folder whose bytes are known: damaged and foreign ones are noticed when they are read.

`checksums.jsonl` gets a line for every file that is written, before the file gets its name. A
process that is killed in between leaves the earlier file, so the last two lines of a name count.
Checksums tell damage, not malice: whoever can change a file can change its line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grap_seq import lock
from grap_seq.files import atomic_write, sha256

FILE = "checksums.jsonl"
# Files in this folder grow, so they have no checksum.
EVENTS = "tensorboard"
# It grows too.
LOG_FILE = "log.txt"


@contextmanager
def write(folder: Path, name: str, **facts: Any) -> Iterator[Path]:
    """Yield a temporary path; on success it is recorded and becomes `folder/name`.

    Args:
        folder: the folder that has the checksums.
        name: of the file in it, with `/` between folders.
        facts: what else its line is to say.
    """
    with atomic_write(folder / name) as temporary:
        yield temporary
        size = temporary.stat().st_size
        _append(folder, {"file": name, "sha256": sha256(temporary), "bytes": size, **facts})


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a text file in UTF-8 and record it."""
    with write(folder, name) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(folder: Path, name: str, content: Any) -> None:
    """Write `content` as indented JSON and record it."""
    write_text(folder, name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The last lines of every file, two at most, the newest last."""
    found: dict[str, list[dict[str, Any]]] = {}
    path = folder / FILE
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for line in lines:
        record = _parsed(line)
        if record is not None:
            found[record["file"]] = [*found.get(record["file"], [])[-1:], record]
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line's record; None for one that is damaged, such as the last one of a full disk."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and {"file", "sha256", "bytes"} <= record.keys()
    return record if whole else None


def problem(folder: Path, name: str) -> str | None:
    """What is wrong with a file, in words that follow its name; None: it is as it was written."""
    path, known = folder / name, records(folder).get(name, [])
    if not path.is_file():
        return "is missing"
    if not (folder / FILE).is_file():
        return f"cannot be checked: {folder} has no {FILE}, an earlier version of grap_seq made it"
    if not known:
        return f"is not recorded in {FILE}: it was put there"
    if sha256(path) in {record["sha256"] for record in known}:
        return None
    size = path.stat().st_size
    if size not in {record["bytes"] for record in known}:
        return f"is damaged: it has {size:,} bytes and was written with {known[-1]['bytes']:,}"
    return f"is damaged: its bytes have another checksum than in {FILE}"


def remove(folder: Path, name: str) -> None:
    """Remove a file, if it is there, and record that it is gone."""
    path, known = folder / name, records(folder).get(name)
    if path.is_file():
        if known:
            _append(folder, {**known[-1], "removed": True})
        path.unlink()


def problems(folder: Path) -> list[str]:
    """What is wrong with the files that a folder records, each as "name: what"."""
    found = []
    for name, known in records(folder).items():
        gone = known[-1].get("removed", False) and not (folder / name).exists()
        wrong = None if gone else problem(folder, name)
        if wrong is not None:
            found.append(f"{name}: {wrong}")
    return found


def check(folder: Path, name: str, remedy: str) -> Path:
    """The path of a file that is as it was written.

    Args:
        folder: the folder that has the checksums.
        name: of the file in it.
        remedy: what to do where it is not, the end of the error's sentence.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is damaged, or was put there.
    """
    path, wrong = folder / name, problem(folder, name)
    if wrong is not None:
        kind = ValueError if path.is_file() else FileNotFoundError
        raise kind(f"{path} {wrong}; {remedy}")
    return path


def unknown(folder: Path) -> list[str]:
    """Files below a folder that neither its checksums nor those of a folder in it know.

    Locks, unfinished files, damaged checkpoints, a run's log and a tracker's event files
    are grap_seq's own.
    """
    known = {folder / name for name in records(folder)}
    for inner in folder.rglob(FILE):
        known |= {inner, *(inner.parent / name for name in records(inner.parent))}
    ours = (lock.FILE, ".damaged")
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path not in known
        and path.parent != folder / EVENTS
        and path != folder / LOG_FILE
        and not path.name.endswith(ours)
        and ".tmp-" not in path.name
    )


def _append(folder: Path, record: dict[str, Any]) -> None:
    with (folder / FILE).open("ab+") as file:
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        if file.tell():
            file.seek(-1, os.SEEK_END)
            # A full disk may have cut the line before.
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
