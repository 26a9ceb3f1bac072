"""The output folder: complete or absent, never deleted before its successor is complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grap_seq import lock
from grap_seq.files import write_json
from grap_seq.prep.folder.manifest import MANIFEST, Manifest
from grap_seq.prep.folder.verify import CACHE

# Files that a message names.
MAX_NAMED = 5


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse a folder that must not be replaced.

    Raises:
        FileExistsError: it exists and `overwrite` is off, it is no prepared folder, or it holds
            files that preparation did not write.
        ValueError: its manifest is damaged, so that nobody knows what it should hold.
    """
    old = _replaced(output)
    if old.exists() and not output.exists():
        # An earlier run died between the two renames of `replace`.
        old.rename(output)
    elif old.exists():
        _refuse_foreign(old)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{output} exists; pass overwrite=true to replace it, or output=")
    if not (output / MANIFEST).is_file():
        raise FileExistsError(f"{output} is not a prepared folder; choose another output=")
    _refuse_foreign(output)


def _refuse_foreign(folder: Path) -> None:
    """Refuse to delete a folder in which the user keeps files of his own."""
    ours = {*Manifest.load(folder).files, MANIFEST, lock.FILE}
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if not path.is_dir()]
    foreign = [str(n) for n in names if n.as_posix() not in ours and n.parts[0] != CACHE]
    if foreign:
        more = f" and {len(foreign) - MAX_NAMED} more" if len(foreign) > MAX_NAMED else ""
        raise FileExistsError(
            f"{folder} holds {', '.join(foreign[:MAX_NAMED])}{more}, which preparation did not"
            " write; move what is yours out of it, or choose another output="
        )


def _replaced(output: Path) -> Path:
    return output.with_name(f".{output.name}.replaced-by-grap-seq")


def replace(partial: Path, output: Path) -> None:
    """Give the complete folder its name; an earlier one is removed only after that.

    The lock goes with the folder, so that whoever finds it unfinished knows that it is ours.
    """
    check_output(output, overwrite=True)
    old = _replaced(output)
    if old.exists():
        shutil.rmtree(old)
    if output.exists():
        output.rename(old)
    partial.rename(output)
    (output / lock.FILE).unlink()
    if old.exists():
        shutil.rmtree(old)


@contextmanager
def locked(partial: Path) -> Iterator[None]:
    """Hold the folder of unfinished work for this process.

    Raises:
        FileExistsError: another process holds it (the message says which), or it is not ours.
    """
    partial.mkdir(parents=True, exist_ok=True)
    if not (partial / lock.FILE).exists() and any(partial.iterdir()):
        raise FileExistsError(f"{partial} is needed for unfinished work; rename your folder")
    with lock.locked(partial):
        yield


def continue_or_clear(partial: Path, folder: Path, fingerprint: dict[str, Any]) -> None:
    """Keep the work of a killed run on the same input; remove any other."""
    path = folder / "fingerprint.json"
    same = path.is_file() and json.loads(path.read_text("utf-8")) == fingerprint
    for entry in partial.iterdir():
        if entry.name != lock.FILE and not same:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.rmtree(folder / "spill", ignore_errors=True)
    if not same:
        folder.mkdir(parents=True)
        write_json(path, fingerprint)
