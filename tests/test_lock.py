"""Locks of folders: real processes hold them and die."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from grap_seq.lock import locked

PROGRAM = """
import sys, time
from pathlib import Path
from grap_seq.lock import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["alone", "shared"])
def test_a_held_folder_is_refused_until_its_owner_dies(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        named = f"process {owner.pid} on .*, since 20" if kind == "alone" else "one that reads it"
        with pytest.raises(FileExistsError, match=named), locked(tmp_path):
            pass
        if kind == "shared":
            with locked(tmp_path, shared=True):
                pass
        owner.kill()
        owner.wait()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_folder_that_was_replaced_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    flock = fcntl.flock

    def replaced(file: IO[str], kind: int) -> None:
        folder.rename(tmp_path / "old")
        folder.mkdir()
        (folder / ".lock").touch()
        flock(file, kind)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with pytest.raises(FileExistsError, match="just replaced"), locked(folder):
        pass


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.json.tmp-123").touch()
    with locked(tmp_path):
        assert not list((tmp_path / "a").iterdir())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", [".lock", "checksums.jsonl", "deep/embeddings", "report.html"])
def test_nothing_is_written_through_a_link(name: str, shared: bool, tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine", tmp_path / "folder"
    for target in (mine / "file", mine / "nothing", mine):
        mine.mkdir(exist_ok=True)
        (mine / "file").write_text("precious")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        with pytest.raises(ValueError, match="is a link: what is written"), locked(folder, shared):
            pass
        assert [(p.name, p.read_text()) for p in mine.iterdir()] == [("file", "precious")]
        path.unlink()
    # The folder itself may be one, and files beside those that are ours.
    (tmp_path / "alias").symlink_to(folder)
    (folder / "theirs").symlink_to(mine)
    with locked(tmp_path / "alias", names=["train.parquet"]):
        pass


def test_a_file_of_the_users_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"\.lock is no lock of grap_seq"), locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "years of work"
