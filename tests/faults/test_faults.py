"""The harness itself: it counts what is known to happen, kills, and fills the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import Driver, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) on this machine")
# Calls of `work.known`, and what is in which file before each of them. In a write half is written.
KNOWN: list[tuple[str, dict[str, str]]] = [
    ("mkdir inner", {}),
    ("open64 inner/text", {}),
    ("write inner/text", {"text": "01234"}),
    ("fsync inner/text", {"text": "0123456789"}),
    ("rename renamed", {"text": "0123456789"}),
    ("open64 copied", {"renamed": "0123456789"}),
    # Python asks for eight megabytes, and goes on until nothing is left.
    ("sendfile64 copied", {"renamed": "0123456789", "copied": "0123456789"}),
    ("sendfile64 copied", {"renamed": "0123456789", "copied": "0123456789"}),
    ("link linked", {"renamed": "0123456789", "copied": "0123456789"}),
    ("open64 linked", dict.fromkeys(("renamed", "copied", "linked"), "0123456789")),
    (
        "pwrite64 linked",
        {"renamed": "0123456789", "copied": "0123a56789", "linked": "0123a56789"},
    ),
    (
        "ftruncate64 linked",
        {"renamed": "0123456789", "copied": "0123ab6789", "linked": "0123ab6789"},
    ),
    ("rmdir inner", {"renamed": "0123456789", "copied": "0123ab", "linked": "0123ab"}),
    ("unlink copied", {"renamed": "0123456789", "copied": "0123ab", "linked": "0123ab"}),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with Driver(tmp_path_factory.mktemp("faults")) as started:
        yield started


def test_every_change_of_the_folder_is_counted(driver: Driver, tmp_path: Path) -> None:
    folder = _new(tmp_path / "folder")
    found = driver.run("tests.faults.work:known", folder)
    assert found.error is None
    assert list(found.points) == [call for call, _ in KNOWN]
    assert _texts(folder) == {"renamed": "0123456789", "linked": "0123ab"}
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("n", range(1, len(KNOWN) + 1))
def test_a_kill_leaves_what_was_done_before_it(driver: Driver, tmp_path: Path, n: int) -> None:
    folder = _new(tmp_path / "folder")
    assert driver.run("tests.faults.work:known", folder, n=n, kind="kill").killed
    assert _texts(folder) == KNOWN[n - 1][1]
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_an_error_and_stays_full(driver: Driver, tmp_path: Path) -> None:
    for n in range(1, len(KNOWN) + 1):
        folder = _new(tmp_path / str(n))
        found = driver.run("tests.faults.work:known", folder, n=n, kind="full")
        removes = KNOWN[n - 1][0].startswith(("rmdir", "unlink"))
        assert found.status == (0 if removes else 1), found.error
        assert removes or "OSError: [Errno 28] No space left on device" in str(found.error)
    folder = _new(tmp_path / "handled")
    # The second file's open, and everything behind it but the clearing up.
    found = driver.run("tests.faults.work:handles", folder, n=3, kind="full")
    assert found.error is None
    assert _texts(folder) == {"first": "text"}
    assert (tmp_path / "failed").read_text() == "second\nthird\n"


def test_files_that_cpp_and_rust_write_are_seen(driver: Driver, tmp_path: Path) -> None:
    whole = _new(tmp_path / "whole")
    found = driver.run("tests.faults.work:libraries", whole)
    assert found.error is None
    files = [call.split() for call in found.points]
    for name in ("checkpoint.pt", "table.parquet", "table.csv", "table.arrow"):
        calls = [call for call, path in files if path == name]
        assert calls[0].startswith(("open", "fopen")), name
        assert any(call.startswith("write") for call in calls[1:]), name
    for n in range(1, found.count + 1):
        folder = _new(tmp_path / str(n))
        failed = driver.run("tests.faults.work:libraries", folder, n=n, kind="full")
        # PyTorch's words for a full disk are "unexpected pos".
        assert failed.status == 1, found.points[n - 1]
        # The same calls up to there, whatever temporary files are called.
        assert [call.split()[0] for call in failed.points[:n]] == [call for call, _ in files[:n]]


def test_an_error_of_the_work_itself_is_told(driver: Driver, tmp_path: Path) -> None:
    found = driver.run("tests.faults.work:missing", tmp_path)
    assert (found.status, found.killed) == (1, False)
    assert "AttributeError" in str(found.error)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
