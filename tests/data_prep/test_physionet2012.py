"""The PhysioNet recipe: damaged and incomplete sources, every packing, and the real files."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.prepare import prepare
from grap_seq.resources import folder
from tests.prep.helpers import content_of

NAME = "physionet2012"
GOLDEN = folder("data_prep") / NAME / "golden"
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("GRAP_SEQ_SHARED", ROOT.parent / "shared" / "data"))
REAL = SHARED / "physionet-2012"


def _copy(place: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, place / "raw"))


def _prepare(source: Path, output: Path) -> Manifest:
    return prepare(NAME, output, source=source, spec=GOLDEN / "dataset.yaml")


def _pack(source: Path, ending: str) -> None:
    for name in ("set-a", "set-b"):
        target = source / f"{name}{ending}"
        if ending == ".zip":
            with zipfile.ZipFile(target, "w") as archive:
                for path in sorted((source / name).iterdir()):
                    archive.write(path, f"{name}/{path.name}")
        else:
            with tarfile.open(target, "w:gz") as tar:
                tar.add(source / name, name)
        shutil.rmtree(source / name)


def test_every_packing_gives_the_same_folder(tmp_path: Path) -> None:
    contents = []
    for ending in ("", ".tar.gz", ".zip"):
        place = tmp_path / f"packed{ending}"
        source = _copy(place)
        if ending:
            _pack(source, ending)
        _prepare(source, place / "out")
        contents.append(content_of(place / "out"))
    assert contents[0] == contents[1] == contents[2]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _cut_tar(source: Path) -> None:
    _pack(source, ".tar.gz")
    _cut(source / "set-b.tar.gz")


def _cut_zip(source: Path) -> None:
    _pack(source, ".zip")
    _cut(source / "set-a.zip")


def _append(name: str, text: str) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        with (source / name).open("a") as file:
            file.write(text)

    return change


def _empty_set(source: Path) -> None:
    for path in (source / "set-a").iterdir():
        path.unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated tar": (_cut_tar, r"set-b\.tar\.gz is truncated or damaged .*grap-seq download"),
    "truncated zip": (_cut_zip, r"set-a\.zip is truncated or damaged .*grap-seq download"),
    "no archive at all": (
        lambda source: shutil.rmtree(source / "set-b"),
        r"has no set-b .*grap-seq download dataset=physionet2012",
    ),
    "no outcomes": (
        lambda source: (source / "Outcomes-b.txt").unlink(),
        r"Outcomes-b\.txt is missing",
    ),
    "empty set": (_empty_set, r"set-a holds no record files"),
    "other file": (
        lambda source: (source / "set-a" / "7.txt").write_text("hello"),
        r"7\.txt is no record file",
    ),
    "short row": (_append("set-a/100001.txt", "02:00,HR\n"), r"set-a: a record row is damaged"),
    "bad value": (
        _append("set-a/100002.txt", "47:50,HR,high\n"),
        r"set-a/100002\.txt, row 8: no finite number in column 'value': 'high'",
    ),
    "bad time": (
        _append("set-b/200001.txt", "later,HR,80\n"),
        r"set-b/200001\.txt, row 10: unreadable time",
    ),
    "no record for a label": (
        _append("Outcomes-a.txt", "100009,1,1,1,1,0\n"),
        r"Outcomes-a\.txt, row 3: label without events: '100009'",
    ),
    "other outcomes": (
        lambda source: (source / "Outcomes-a.txt").write_text("RecordID,Died\n1,0\n"),
        r"Outcomes-a\.txt: no column 'In-hospital_death'",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[case]
    source = _copy(tmp_path)
    damage(source)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _prepare(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_source_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs source=FOLDER; fetch the challenge files"):
        prepare(NAME, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; fetch"):
        prepare(NAME, tmp_path / "out", source=tmp_path / "nowhere")


def test_other_source_than_the_challenge_is_pointed_out(tmp_path: Path) -> None:
    manifest = prepare(NAME, tmp_path / "out", source=GOLDEN)
    assert ("splits.test.sequences", 4000, 1) in manifest.differences


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no PhysioNet files at {REAL} (GRAP_SEQ_SHARED)")
def test_real_files_give_the_expected_counts(tmp_path: Path) -> None:
    manifest = prepare(NAME, tmp_path / "out", source=REAL)
    assert manifest.differences == []
    assert manifest.warnings == []
    # Every data row but the record's own number and the missing admission facts.
    events = sum(split["events"] for split in manifest.splits.values())
    assert events == 1_757_980 + 1_762_535 - 8000 - 4505
