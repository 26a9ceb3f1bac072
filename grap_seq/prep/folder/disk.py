"""How much disk a preparation needs, before it begins."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.filesize import decimal

from grap_seq.prep.read.files import ENDINGS, ends
from grap_seq.terminal import say

# Bytes of cleaned events, buckets and parts at once, for each byte of the source, and of parts
# alone: what the widest sources took, parquet files of random numbers, and text.
WORK, WORK_OF_TEXT, PARTS = 2.1, 1.0, 0.8
# What nobody has to be told of.
LITTLE = 10**9


class TooLittleDisk(OSError):
    """A preparation that was not begun."""


def disk_need(files: Sequence[Path], held: bool) -> int:
    """Bytes that a preparation takes at its peak, estimated.

    Args:
        files: of the source.
        held: whether the events between the stages are held in memory.
    """
    if held:
        return int(PARTS * sum(path.stat().st_size for path in files))
    need = 0.0
    for path in files:
        need += path.stat().st_size * (WORK_OF_TEXT if ends(path, ENDINGS) else WORK)
    return int(need)


def check_disk(files: Sequence[Path], held: bool, folder: Path) -> None:
    """Say how much is needed, where it is much, and refuse to begin what will not fit.

    Args:
        files, held: as in `disk_need`.
        folder: where it is written; what a killed run has left in it counts as free.

    Raises:
        TooLittleDisk: less is free.
    """
    need = disk_need(files, held)
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free + there
    sizes = f"about {decimal(need)} of disk, {decimal(free)} are free in {folder.parent}"
    if free < need:
        raise TooLittleDisk(
            errno.ENOSPC,
            f"this preparation needs {sizes}; free some, or choose an output= on another disk",
        )
    if need > LITTLE:
        say(f"needs {sizes}")
