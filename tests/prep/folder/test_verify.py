"""Prepared folders are checked before they are read: really flipped bits, once a state."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from grap_seq.data.sequences import Sequences
from grap_seq.files import sha256
from grap_seq.prep.folder import verify as module
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.folder.verify import cache_of, verify

PART = "train/part-00000.parquet"


@pytest.fixture
def folder(shop: Path, tmp_path: Path) -> Path:
    """A prepared folder with its cache."""
    copied = Path(shutil.copytree(shop, tmp_path / "prepared", ignore=lambda *_: {".cache"}))
    for _ in range(2):
        # Written, then checked.
        Sequences(copied, "train")
    return copied


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that are hashed."""
    paths: list[Path] = []

    def counted(path: Path) -> str:
        paths.append(path)
        return sha256(path)

    monkeypatch.setattr(module, "sha256", counted)
    return paths


@pytest.mark.parametrize("name", [PART, "test/part-00000.parquet", "schema.yaml", "vocab.json"])
def test_a_flipped_bit_is_found(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 8 * len(whole) // 60 + 1):
        flip(path, bit)
        with pytest.raises(ValueError, match=f"{name}: another checksum than in manifest"):
            Sequences(folder, "train")
        path.write_bytes(whole)
    verify(folder)


def test_a_flipped_bit_in_the_manifest_is_found(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for byte in range(0, len(whole), 7):
        flip(path, 8 * byte + byte % 8)
        with pytest.raises(ValueError, match=r"manifest\.json is damaged; .* prepare the data"):
            Manifest.load(folder)
        path.write_bytes(whole)
    Manifest.load(folder)


def test_missing_and_surplus_parts_are_named(folder: Path) -> None:
    shutil.copy(folder / PART, folder / "train" / "part-00007.parquet")
    with pytest.raises(ValueError, match=r"train/part-00007\.parquet: not in manifest"):
        Sequences(folder, "val")
    (folder / "train" / "part-00007.parquet").rename(folder / "seven")
    (folder / PART).unlink()
    with pytest.raises(ValueError, match=r"train/part-00000\.parquet: missing"):
        Sequences(folder, "val")


def test_each_state_of_a_file_is_hashed_once(folder: Path, hashed: list[Path]) -> None:
    Sequences(folder, "train")
    assert hashed == []
    path = folder / PART
    path.write_bytes(path.read_bytes())
    verify(folder)
    assert hashed == [path]
    verify(folder)
    assert hashed == [path]
    # A copy of the whole folder, times and memory included, is another state.
    copied = shutil.copytree(folder, folder.with_name("copied"))
    verify(copied)
    assert len(hashed) == 1 + len(Manifest.load(copied).files)


def test_a_copy_that_went_wrong_is_found_though_size_and_time_agree(folder: Path) -> None:
    path = folder / PART
    before = path.stat()
    flip(path, 4000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(ValueError, match=PART):
        verify(folder)


def test_a_damaged_memory_is_made_anew(folder: Path, hashed: list[Path]) -> None:
    memory = folder / ".cache" / "verified.json"
    whole = json.loads(memory.read_text())
    for damaged in ("", "[1]", memory.read_text().replace("sha", "hsa")[:-30]):
        memory.write_text(damaged)
        verify(folder)
        assert whole.items() >= json.loads(memory.read_text()).items()
    assert len(hashed) == 3 * len(Manifest.load(folder).files)


def test_the_copy_for_training_is_checked_too(folder: Path, hashed: list[Path]) -> None:
    (copied,) = (folder / ".cache").glob("*.arrow")
    whole = copied.read_bytes()
    flip(copied, 8 * (len(whole) // 2))
    with pytest.raises(ValueError, match=rf"{copied.name} is damaged: .*; delete it"):
        Sequences(folder, "train")
    with pytest.raises(ValueError, match=rf"\.cache/{copied.name}: is damaged"):
        validate(folder)
    copied.write_bytes(whole)
    hashed.clear()
    Sequences(folder, "train")
    Sequences(folder, "train")
    assert hashed == [copied]
    copied.unlink()
    Sequences(folder, "train")
    assert copied.read_bytes() == whole
    validate(folder)


def test_a_copy_that_nobody_recorded_is_made_again(folder: Path) -> None:
    """As one by an earlier version."""
    (copied,) = (folder / ".cache").glob("*.arrow")
    whole = copied.read_bytes()
    (folder / ".cache" / "checksums.jsonl").unlink()
    copied.write_bytes(b"no arrow")
    Sequences(folder, "train")
    assert copied.read_bytes() == whole


def test_a_folder_by_an_earlier_version_is_read(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["checksum"]
    path.write_text(json.dumps(content))
    verify(folder)
    path.write_text(json.dumps(content | {"chfcksum": "abc"}))
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        verify(folder)


def test_the_cache_of_a_folder_that_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_of(folder) == folder / ".cache"
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    first = cache_of(folder)
    assert first.parent == tmp_path / "home" / "grap_seq"
    assert cache_of(shutil.copytree(folder, tmp_path / "other")) != first
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    # The folder's own copy is used where there is one.
    Sequences(folder, "train")
    Sequences(folder, "test")
    assert [path.name.partition("-")[0] for path in first.glob("*.arrow")] == ["test"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
