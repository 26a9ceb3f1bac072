"""A kill or a full disk at any moment of a run: what was there loads, and the run ends the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grap_seq import commands
from tests.faults import Driver, Kind, Outcome, compiler
from tests.training.saved import assert_same_runs

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) on this machine"),
    pytest.mark.slow,
]
# Moments of a run that are tried, of each kind; there are some 150.
TRIED = 12


def train(run: Path, shop: str, resume: bool) -> None:
    """Runs in a child of the driver."""
    commands.pretrain(
        [
            *("dataset=table", f"prepared={shop}", f"run={run}", f"resume={str(resume).lower()}"),
            *("dataset.hidden=8", "event_width=8", "batch_size=8", "epochs=2", "select=loss"),
            *("checkpoint_every=4", "trainer.threads=1", "log_every=1"),
        ]
    )


@pytest.fixture(scope="module")
def driver(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("driver")
    with Driver(folder) as started:
        found = started.here("tests.training.test_faults:train", folder / "run", str(shop), False)
        assert found.error is None, found.error
        yield started


@pytest.fixture(scope="module")
def whole(
    driver: Driver, shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """A run that nothing disturbed, and what it did on the disk."""
    run = tmp_path_factory.mktemp("whole") / "run"
    found = driver.run("tests.training.test_faults:train", run, str(shop), False)
    assert found.error is None
    return run, found


def test_every_file_is_among_the_moments(whole: tuple[Path, Outcome]) -> None:
    run, found = whole
    written = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    renamed = {point.partition(" ")[2] for point in found.points if point.startswith("rename")}
    assert written - renamed == {".lock", "checksums.jsonl"}
    calls = {point.partition(" ")[0] for point in found.points}
    assert {"rename", "fsync", "mkdir", "unlink"} <= calls
    assert {call.rstrip("64") for call in calls} >= {"open", "write"}
    assert found.count > 8 * TRIED


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_a_fault_at_any_moment_loses_nothing(
    driver: Driver, shop: Path, whole: tuple[Path, Outcome], tmp_path: Path, kind: Kind
) -> None:
    expected, calm = whole
    harmless = 0
    for number in range(TRIED):
        n = 1 + (number * (calm.count - 1)) // (TRIED - 1)
        run = tmp_path / str(n)
        broken = driver.run(
            "tests.training.test_faults:train", run, str(shop), False, n=n, kind=kind
        )
        # Only what is being cleared away may be left undone.
        harmless += broken.status == 0
        assert broken.status == {"kill": -9, "full": 1}[kind] or calm.points[n - 1].startswith(
            "unlink"
        ), (n, calm.points[n - 1], broken.error)
        found = driver.run("tests.training.test_faults:train", run, str(shop), True)
        assert found.error is None, (n, calm.points[n - 1], found.error)
        assert_same_runs(expected, run)
        assert not list(run.rglob("*.tmp-*"))
    assert harmless < TRIED / 5
