"""A process that prepares datasets and says how many bytes it has read of every source file."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

from grap_seq.prep.prepare import prepare


def main(jobs: list[tuple[str, str, str]]) -> dict[str, int]:
    """Prepare each (dataset, source, output); the bytes read by path.

    The process was started with the library that `reads.c` becomes.
    """
    library = ctypes.CDLL(None)
    library.reads_of.restype = ctypes.c_long
    found = {}
    for name, source, output in jobs:
        prepare(name, Path(output), source=Path(source), threads=2)
        for path in Path(source).resolve().rglob("*"):
            if path.is_file():
                found[str(path)] = library.reads_of(os.fsencode(path))
    return found


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
