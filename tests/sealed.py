"""Run folders that tests write by hand, made like those that commands write."""

from __future__ import annotations

from pathlib import Path

from grap_seq import seal


def reseal(run: Path) -> None:
    """Record every file of a folder as it is now."""
    (run / seal.FILE).unlink(missing_ok=True)
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.name != ".lock":
            content = path.read_bytes()
            with seal.write(run, path.relative_to(run).as_posix()) as temporary:
                temporary.write_bytes(content)
