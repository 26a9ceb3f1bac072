"""A disk that fills: at every call that changes the folder of a preparation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages import work
from tests.faults import Driver, compiler
from tests.prep.helpers import content_of, write_source

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) on this machine")
HEADER = "client,when,kind,amount\n"
SAID = "OSError: [Errno 28] no space left while writing"


def several(folder: Path, source: str) -> None:
    """Prepare with work files and in several buckets, as large data are."""
    with (
        mock.patch.object(DuckDB, "holds", return_value=False),
        mock.patch.object(work, "VALUES_PER_BUCKET", 200),
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
    buckets = [
        n for n, point in enumerate(whole.points, 1) if "bucket" in point or "part-" in point
    ]
    assert len(buckets) > 10
    for n in buckets[:: len(buckets) // 10]:
        place = tmp_path / str(n)
        place.mkdir()
        found = driver.run(call, place, source, n=n, kind="full")
        assert found.error is not None, whole.points[n - 1]
        assert SAID in found.error, (whole.points[n - 1], found.error)
        assert not (place / "out").exists()
        again = driver.run(call, place, source)
        assert again.error is None, again.error
        assert content_of(place, manifest=True) == expected
