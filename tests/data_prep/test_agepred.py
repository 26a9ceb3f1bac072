"""The age-group recipe: its published split, every copy of its files, and 1,000 real rows."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.splits import tail_split
from tests.data_prep.copies import SHARED, copy_golden, every_packing_agrees, prepared
from tests.prep.helpers import rows_of

NAME = "agepred"
REAL = SHARED / "age-pred-slice"


def test_split_has_the_published_sizes() -> None:
    labelled = [str(number) for number in range(0, 50_000) if number % 5 < 3]
    unlabelled = [str(number) for number in range(0, 50_000) if number % 5 >= 3]
    split = tail_split(labelled, unlabelled, test=0.1, validation=0.05)
    assert Counter(split.values()) == {"train": 44_650, "val": 2350, "test": 3000}
    assert sum(split[name] == "train" for name in labelled) == 24_650


def test_every_copy_gives_the_same_folder(tmp_path: Path) -> None:
    every_packing_agrees(NAME, tmp_path)


def test_label_of_an_unknown_client_is_named(tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    with (source / "train_target.csv").open("a", encoding="utf-8") as file:
        file.write("99,1\n")
    with pytest.raises(ValueError, match=r"train_target\.csv.*label without events: '99'"):
        prepared(NAME, source, tmp_path / "out")


def test_files_are_asked_for(tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    (source / "train_target.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no train_target .*age-group-prediction"):
        prepared(NAME, source, tmp_path / "out")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no age-group rows at {REAL} (GRAP_SEQ_SHARED)")
def test_real_rows(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(REAL / "age-transactions.csv", raw / "transactions_train.csv")
    shutil.copy(REAL / "age-bin.csv", raw / "train_target.csv")
    manifest = prepare(NAME, tmp_path / "out", source=raw)
    assert {name: part["sequences"] for name, part in manifest.splits.items()} == {
        "train": 86,
        "val": 4,
        "test": 10,
    }
    events = pd.read_csv(raw / "transactions_train.csv")
    bins = pd.read_csv(raw / "train_target.csv").set_index("client_id")["bins"]
    rows = {row["client_id"]: row for s in manifest.splits for row in rows_of(tmp_path / "out", s)}
    assert len(rows) == 100
    for client, group in events.groupby("client_id"):
        assert rows[client]["label"] == bins[client]
        ordered = group.sort_values(["trans_date", "small_group", "amount_rur"])
        assert rows[client]["event_time"] == ordered["trans_date"].tolist()
        codes = pd.Series(rows[client]["small_group"])
        # One code a group, in the order of the groups' numbers within a day.
        pairs = set(zip(ordered["small_group"], codes, strict=True))
        assert len(pairs) == ordered["small_group"].nunique()
