"""A disk that fills in the middle of a grid: it stops, and goes on when there is space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grap_seq.experiments import runs
from grap_seq.experiments.job import Job
from tests.faults import Driver, compiler

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) on this machine"),
    pytest.mark.slow,
]
# Moments that are tried beside those below, of some hundreds.
TRIED = 6
# Between two files of which a later stage needs both.
BETWEEN = ("fsync one/run/model.json.tmp", "unlink one/run/embeddings/train.parquet.tmp")


def job(shop: str) -> Job:
    sizes = "dataset.hidden=8", "event_width=8", "epochs=1", "batch_size=16"
    evaluation = ("folds=0", "boosting.binary.n_estimators=5", "boosting.binary.min_data_in_leaf=2")
    settings = ("dataset=table", *sizes, "select=loss")
    return Job("one", "one", "", settings, prepared=Path(shop), evaluation=evaluation)


def work(folder: Path, shop: str) -> None:
    """Runs in a child of the driver."""
    runs.do(job(shop), folder)


@pytest.fixture(scope="module")
def driver(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("driver")
    with Driver(folder) as started:
        found = started.here("tests.experiments.test_full_disk:work", folder, str(shop))
        assert found.error is None, found.error
        yield started


def test_a_full_disk_is_no_failure_of_the_run(driver: Driver, shop: Path, tmp_path: Path) -> None:
    call = "tests.experiments.test_full_disk:work"
    (tmp_path / "whole").mkdir()
    whole = driver.run(call, tmp_path / "whole", str(shop))
    assert whole.error is None, whole.error
    between = [n for n, point in enumerate(whole.points, 1) if point.startswith(BETWEEN)]
    assert len(between) >= len(BETWEEN)
    for n in (*between, *(1 + (k * (whole.count - 1)) // (TRIED - 1) for k in range(TRIED))):
        folder, point = tmp_path / str(n), whole.points[n - 1]
        folder.mkdir()
        full = driver.run(call, folder, str(shop), n=n, kind="full")
        if full.error is None:
            # Only what is being cleared away may be left undone.
            assert point.startswith("unlink"), point
            continue
        found = runs.outcome(folder / "one")
        assert found is None or found.state == "begun", (point, found)
        again = driver.run(call, folder, str(shop))
        assert again.error is None, (point, again.error)
        found = runs.outcome(folder / "one")
        assert found is not None
        assert (found.state, found.error) == ("done", None), point
