"""Checksums of a folder's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grap_seq import seal


def test_a_file_is_as_it_was_written(tmp_path: Path) -> None:
    seal.write_json(tmp_path, "a/b.json", {"x": "é"})
    assert json.loads(seal.check(tmp_path, "a/b.json", "").read_text("utf-8")) == {"x": "é"}
    assert not list(tmp_path.rglob("*.tmp-*"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), r"f\.txt is missing; fetch it"),
        (lambda path: path.write_bytes(b""), r"f\.txt is damaged: it has 0 bytes .* with 5; fetch"),
        (lambda path: path.write_bytes(b"12"), r"it has 2 bytes and was written with 5"),
        (lambda path: path.write_bytes(b"hellp"), r"another checksum than in checksums\.jsonl"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: object, said: str) -> None:
    seal.write_text(tmp_path, "f.txt", "hello")
    assert callable(damage)
    damage(tmp_path / "f.txt")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        seal.check(tmp_path, "f.txt", "fetch it")


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"f\.txt cannot be checked: .*an earlier version"):
        seal.check(tmp_path, "f.txt", "")
    seal.write_text(tmp_path, "g.txt", "hello")
    with pytest.raises(ValueError, match=r"f\.txt is not recorded in checksums\.jsonl"):
        seal.check(tmp_path, "f.txt", "")


def test_the_file_before_counts_until_the_next_one(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        seal.write_text(tmp_path, "f.txt", text)
    # As after a kill between the record and the name.
    (tmp_path / "f.txt").write_text("two")
    assert seal.problem(tmp_path, "f.txt") is None
    (tmp_path / "f.txt").write_text("one")
    assert seal.problem(tmp_path, "f.txt") is not None


def test_a_line_that_a_full_disk_has_cut_harms_no_other(tmp_path: Path) -> None:
    seal.write_text(tmp_path, "f.txt", "hello")
    with (tmp_path / seal.FILE).open("ab") as file:
        file.write(b'{"file": "g.txt", "sha2')
    with seal.write(tmp_path, "h.txt", step=3) as temporary:
        temporary.touch()
    assert [seal.problem(tmp_path, name) for name in ("f.txt", "h.txt")] == [None, None]
    assert seal.records(tmp_path)["h.txt"][-1]["step"] == 3


def test_problems_of_all_files_are_listed(tmp_path: Path) -> None:
    for name in ("a/b.txt", "c.txt", "d.txt", "e.txt"):
        seal.write_text(tmp_path, name, name)
    assert seal.problems(tmp_path) == []
    (tmp_path / "a" / "b.txt").write_text("")
    (tmp_path / "c.txt").unlink()
    seal.remove(tmp_path, "d.txt")
    found = [line.partition(":")[0] for line in seal.problems(tmp_path)]
    assert found == ["a/b.txt", "c.txt"]


def test_a_file_is_whole_also_if_its_removal_was_killed(tmp_path: Path) -> None:
    seal.write_text(tmp_path, "f.txt", "hello")
    seal.remove(tmp_path, "f.txt")
    assert seal.problem(tmp_path, "f.txt") == "is missing"
    (tmp_path / "f.txt").write_text("hello")
    assert seal.problem(tmp_path, "f.txt") is None
    seal.remove(tmp_path, "other.txt")
