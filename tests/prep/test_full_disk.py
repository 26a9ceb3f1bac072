"""A disk that fills in the middle of a preparation: work files, buckets and parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages import sequences
from tests.faults import Driver, compiler
from tests.prep.helpers import content_of, write_source

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) on this machine")
HEADER = "client,when,kind,amount\n"
# The last call of each kind fails, and all that come after it.
WRITTEN = (
    r"pwrite out\.partial/work/cleaned\.parquet.*",
    r"pwrite out\.partial/work/ids\.parquet.*",
    r"pwrite out\.partial/work/buckets\.unfinished/__bucket=3/.*",
    r"write out\.partial/val/part-00002\.parquet.*",
)
SAID = "OSError: [Errno 28] no space left while writing"


def several(folder: Path, source: str) -> None:
    """Prepare with work files and in several buckets, as large data are."""
    with (
        mock.patch.object(DuckDB, "holds", return_value=False),
        mock.patch.object(sequences, "VALUES_PER_BUCKET", 200),
    ):
        prepare("table", folder / "out", source=Path(source), threads=1)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    modules = ("grap_seq.prep.prepare", "tests.prep.test_full_disk")
    with Driver(tmp_path_factory.mktemp("library"), modules) as started:
        yield started


def test_a_full_disk_is_said_and_the_same_command_goes_on(driver: Driver, tmp_path: Path) -> None:
    rows = "".join(f"{i % 20},{i},k{i % 3},{i}\n" for i in range(300))
    source = str(write_source(tmp_path / "raw", HEADER + rows))
    call = "tests.prep.test_full_disk:several"
    (tmp_path / "whole").mkdir()
    whole = driver.run(call, tmp_path / "whole", source)
    assert whole.error is None, whole.error
    expected = content_of(tmp_path / "whole", manifest=True)
    for written in WRITTEN:
        found = [n for n, point in enumerate(whole.points, 1) if re.fullmatch(written, point)]
        place = tmp_path / str(found[-1])
        place.mkdir()
        full = driver.run(call, place, source, n=found[-1], kind="full")
        assert full.error is not None, written
        assert SAID in full.error, (written, full.error)
        # Of the buckets before the third one, which is whole in no split.
        parts = {path: path.stat().st_mtime_ns for path in place.glob("out.partial/*/*-0000[01].*")}
        assert len(parts) == (6 if "part-" in written else 0)
        assert not (place / "out").exists()
        again = driver.run(call, place, source)
        assert again.error is None, again.error
        assert content_of(place, manifest=True) == expected
        # What was complete has not been written again.
        for path, time in parts.items():
            done = place / "out" / path.relative_to(place / "out.partial")
            assert done.stat().st_mtime_ns == time
