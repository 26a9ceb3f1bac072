"""The churn recipe: its published split, every copy of its files, bad rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.splits import tail_split
from tests.data_prep.copies import copy_golden, every_packing_agrees, golden, prepared

NAME = "churn"


def test_split_has_the_published_sizes_and_tails() -> None:
    labelled = [str(number) for number in range(5000)]
    unlabelled = [str(number) for number in range(5000, 10217)]
    split = tail_split(labelled, unlabelled, test=0.1, validation=0.05)
    assert Counter(split.values()) == {"train": 9232, "val": 485, "test": 500}
    assert {split[name] for name in unlabelled} == {"train"}
    order = sorted(labelled)
    assert order[:3] == ["0", "1", "10"]
    Random(42).shuffle(order)
    assert {name for name, part in split.items() if part == "test"} == set(order[-500:])
    rest = sorted(order[:-500])
    Random(43).shuffle(rest)
    assert {name for name, part in split.items() if part == "val"} == set(rest[-485:])


def test_every_copy_gives_the_same_folder(tmp_path: Path) -> None:
    every_packing_agrees(NAME, tmp_path)


def test_labelled_part_alone_is_enough(tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    (source / "test.csv").unlink()
    manifest = prepare(NAME, tmp_path / "out", source=source, spec=golden(NAME) / "dataset.yaml")
    assert manifest.splits["train"] | {"classes": {}} == {
        "sequences": 2,
        "events": 6,
        "labelled": 2,
        "classes": {},
    }


BAD = {
    "another date format": (
        "20OCT17:00:00:00",
        "2017-10-20",
        r"train\.csv, row 3: unreadable",
    ),
    "no number": ("01JAN18:06:00:00,0", "01JAN18:06:00:00,much", r"train\.csv, row 4: no finite"),
    "two labels": ("DEPOSIT,0,0", "DEPOSIT,1,0", r"conflicting labels of an id: '12'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_row_is_named(case: str, tmp_path: Path) -> None:
    old, new, message = BAD[case]
    source = copy_golden(NAME, tmp_path)
    text = (source / "train.csv").read_text("utf-8")
    assert text.count(old) == 1
    (source / "train.csv").write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=message):
        prepared(NAME, source, tmp_path / "out")


def test_bad_row_of_the_second_file_is_counted_within_it(tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    with (source / "test.csv").open("a", encoding="utf-8") as file:
        file.write("01/12/2017,9,5999,type1,810,31DEZ17:00:00:00,1,POS\n")
    with pytest.raises(ValueError, match=r"test\.csv, row 3: unreadable time.*31DEZ17"):
        prepared(NAME, source, tmp_path / "out")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs source=FOLDER; put train\.csv\.gz"):
        prepare(NAME, tmp_path / "out")
    source = copy_golden(NAME, tmp_path)
    (source / "train.csv").rename(source / "other.csv")
    with pytest.raises(ValueError, match=r"no labels; put train\.csv\.gz .*grap-seq synth"):
        prepared(NAME, source, tmp_path / "out")
    (source / "test.csv").rename(source / "another.csv")
    with pytest.raises(FileNotFoundError, match=r"has no train .*grap-seq synth"):
        prepared(NAME, source, tmp_path / "out")
    (source / "another.csv").rename(source / "test.csv")
    (source / "other.csv").rename(source / "train.csv")
    (source / "train.csv.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train\.csv, train\.csv\.gz; keep one"):
        prepared(NAME, source, tmp_path / "out")
    (source / "train.csv.gz").unlink()
    text = (source / "train.csv").read_text("utf-8")
    (source / "train.csv").write_text(text.replace("MCC", "code", 1), "utf-8")
    with pytest.raises(ValueError, match=r"train\.csv: no column 'MCC'"):
        prepared(NAME, source, tmp_path / "out")
