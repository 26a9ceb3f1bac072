"""The output folder is complete or absent, and never lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grap_seq.data.sequences import Sequences
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
        "import sys\nfrom pathlib import Path\nfrom grap_seq.prep.folder.output import locked\n"
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


def test_files_of_the_users_are_never_replaced(tmp_path: Path) -> None:
    source, output = write_source(tmp_path), tmp_path / "out"
    prepare("table", output, source=source)
    Sequences(output, "train")
    prepare("table", output, source=source, overwrite=True)
    for name in ("notes.txt", "train/part-00077.parquet", "embeddings/train.parquet"):
        mine = output / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("years of work")
        with pytest.raises(FileExistsError, match=f"out holds {name}, which preparation did not"):
            prepare("table", output, source=source, overwrite=True)
        assert mine.read_text() == "years of work"
        mine.unlink()
    # A folder of ours whose files nobody can tell from others.
    (output / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged; .* delete .*out"):
        prepare("table", output, source=source, overwrite=True)


# Forks, because an import takes longer than a preparation; no thread has been started before.
KILLED = """
import os, shutil, sys
from itertools import count
from pathlib import Path
from grap_seq.prep.prepare import prepare
source, output = map(Path, sys.argv[1:])
def run(last):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    calls = []
    def counted(function):
        def call(path, *arguments, **options):
            if calls or path.name == "work":
                calls.append(path)
            if len(calls) == last:
                os.kill(os.getpid(), 9)
            return function(path, *arguments, **options)
        return call
    Path.rename, Path.unlink = counted(Path.rename), counted(Path.unlink)
    shutil.rmtree = counted(shutil.rmtree)
    prepare("table", output, source=source, overwrite=True)
    os._exit(0)
for number in count(1):
    if run(number) == 0:
        break
    assert run(-1) == 0
    print(sorted(path.name for path in output.parent.iterdir()))
    print(*(p.read_bytes() for p in sorted(output.rglob("*")) if p.is_file()))
"""


def test_a_kill_at_the_end_locks_nobody_out(tmp_path: Path) -> None:
    """Before every removal and rename after the work of a preparation that replaces another one."""
    source, output = write_source(tmp_path), tmp_path / "out"
    prepare("table", output, source=source)
    whole = " ".join(str(p.read_bytes()) for p in sorted(output.rglob("*")) if p.is_file())
    command = [sys.executable, "-c", KILLED, str(source), str(output)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(said) == 2 * 5
    assert {*said[::2]} == {"['events.csv', 'events.yaml', 'out']"}
    assert {*said[1::2]} == {whole}
