"""What a preparation says of the disk that it needs: measured beside what it takes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from grap_seq.files import atomic_write
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.folder.disk import TooLittleDisk, disk_need
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.buckets import Buckets
from tests.prep.helpers import write_source

EVENTS = 60_000


def _table(folder: Path, ending: str) -> Path:
    numbers = random.Random(0)
    lines = [
        f"{numbers.randrange(300)},{numbers.randrange(10**9)},{numbers.choice('abcdefgh')},"
        f"{numbers.random() * 100}"
        for _ in range(EVENTS)
    ]
    source = write_source(folder, "client,when,kind,amount\n" + "\n".join(lines) + "\n")
    if ending != "csv":
        other = source.with_suffix(f".{ending}")
        duckdb.sql(f"COPY (FROM read_csv('{source}')) TO '{other}'")
        source.unlink()
        source = other
    return source


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("held", [False, True])
def test_the_estimate_covers_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, held: bool
) -> None:
    source, output = _table(tmp_path, ending), tmp_path / "out"
    monkeypatch.setattr(DuckDB, "holds", lambda *_: held)
    partial = tmp_path / "out.partial"
    peak = 0
    fill = Buckets.fill

    def filled(self: Buckets, *arguments: object) -> None:
        nonlocal peak
        cleaned = self.work.folder / "cleaned.parquet"
        peak = cleaned.stat().st_size if cleaned.exists() else 0
        fill(self, *arguments)  # type: ignore[arg-type]  # Passed on as they are.
        peak += _size(partial)

    monkeypatch.setattr(Buckets, "fill", filled)
    prepare("table", output, source=source)
    peak = max(peak, _size(output))
    need = disk_need([source], held)
    assert peak <= need < 4 * peak


def test_a_disk_that_is_too_small_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = _table(tmp_path, "csv"), tmp_path / "out"
    need = disk_need([source], held=True)
    usage = SimpleNamespace(free=need - 100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(DuckDB, "read_csv", lambda *_: pytest.fail("it was read"))
    with pytest.raises(
        TooLittleDisk, match=r"needs about 1.* MB of disk.* are free.*output= on another"
    ):
        prepare("table", output, source=source)
    monkeypatch.undo()
    # What the killed run of a moment ago holds is free for the next.
    kept = tmp_path / "out.partial" / "work" / "half"
    with atomic_write(kept) as path:
        path.write_bytes(bytes(200_000))
    usage.free = need - 100_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    prepare("table", output, source=source)
