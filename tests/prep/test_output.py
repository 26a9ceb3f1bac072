"""The output folder is complete or absent, and never lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grap_seq.prep.prepare import prepare
from tests.prep.helpers import GOOD, content_of, write_source


def test_existing_output_is_refused_and_kept(tmp_path: Path) -> None:
    source, output = write_source(tmp_path), tmp_path / "out"
    prepare("table", output, source=source)
    before = content_of(output, manifest=True)
    with pytest.raises(FileExistsError, match="pass overwrite=true"):
        prepare("table", output, source=source)
    write_source(tmp_path, GOOD + "9,never,a,1\n")
    with pytest.raises(ValueError, match="unreadable time"):
        prepare("table", output, source=source, overwrite=True)
    assert content_of(output, manifest=True) == before
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "cat.jpg").touch()
    with pytest.raises(FileExistsError, match="is not a prepared folder"):
        prepare("table", foreign, source=source, overwrite=True)
    partial = tmp_path / "other.partial"
    foreign.rename(partial)
    with pytest.raises(FileExistsError, match="rename your folder"):
        prepare("table", tmp_path / "other", source=source)
    assert (partial / "cat.jpg").exists()


def test_second_process_is_refused_and_hears_of_the_first(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom grap_seq.prep.output import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True), sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.partial")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        wanted = rf"another process is at work in .*process {owner.pid} on .*, since 20\d\d-"
        for _ in range(2):
            with pytest.raises(FileExistsError, match=wanted):
                prepare("table", tmp_path / "out", source=source)
        owner.kill()
    prepare("table", tmp_path / "out", source=source)


def test_death_between_the_last_two_renames_loses_nothing(tmp_path: Path) -> None:
    source, output = write_source(tmp_path), tmp_path / "out"
    prepare("table", output, source=source)
    before = content_of(output, manifest=True)
    output.rename(tmp_path / ".out.replaced-by-grap-seq")
    with pytest.raises(FileExistsError, match="pass overwrite=true"):
        prepare("table", output, source=source)
    assert content_of(output, manifest=True) == before
