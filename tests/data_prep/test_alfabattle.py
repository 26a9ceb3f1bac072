"""The AlfaBattle recipe: its split by Spark's hash, every copy of its files, bad rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
import pytest

from data_prep.alfabattle.murmur import spark_hash
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare
from tests.data_prep.copies import copy_golden, every_packing_agrees, prepared
from tests.prep.helpers import rows_of

NAME = "alfabattle"


def test_every_copy_gives_the_same_folder(tmp_path: Path) -> None:
    every_packing_agrees(NAME, tmp_path)


def test_ranks_below_a_tenth_are_tested(tmp_path: Path) -> None:
    raw = synth(NAME, tmp_path / "raw", rows=3000, seed=2)
    prepare(NAME, tmp_path / "out", source=raw)
    target = pd.read_csv(raw / "train_target.csv")
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for app, product, flag in target[["app_id", "product", "flag"]].to_numpy().tolist():
        groups[product, flag].append(app)
    test: set[int] = set()
    for apps in groups.values():
        ordered = sorted(apps, key=lambda app: spark_hash([f"{app}42"])[0])
        # Rank 1 of 10 is a tenth, and not below it.
        test |= {app for rank, app in enumerate(ordered, 1) if 10 * rank < len(ordered)}
    assert len(test) > 10
    everyone = set(pd.read_parquet(raw / "train_transactions")["app_id"])
    everyone |= set(pd.read_parquet(raw / "test_transactions")["app_id"])
    expected = {
        app: "test" if app in test else "val" if app % 100 < 5 else "train" for app in everyone
    }
    flags = dict(zip(target["app_id"], target["flag"], strict=True))
    found = {}
    for split in ("train", "val", "test"):
        for row in rows_of(tmp_path / "out", split):
            found[row["app_id"]] = split
            assert row["label"] == flags.get(row["app_id"])
    assert found == expected
    assert set(Counter(expected[app] for app in everyone - set(flags))) == {"train", "val"}


def test_published_size_of_the_test_set() -> None:
    # The flags of each product are not published: whatever they are, ten groups of this many
    # applications lose between none and one each.
    total, groups = 963_811, 10
    assert total / 10 - groups <= 96_376 <= total / 10


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("train_transactions", "1,40,1,1,1,1,0,2", "1,40,1,1,1,1,0,two", r"row 3: unreadable time"),
        ("train_target", "50,0,1", "51,0,1", r"train_target\.csv.*label without events: '51'"),
    ],
)
def test_bad_row_is_named(table: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    _change(source / f"{table}.csv", old, new)
    with pytest.raises(ValueError, match=message):
        prepared(NAME, source, tmp_path / "out")


def test_transaction_without_its_number_comes_first_of_its_day(tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    _change(source / "test_transactions.csv", ",364,1,0,2", ",364,1,0,")
    prepared(NAME, source, tmp_path / "out")
    assert rows_of(tmp_path / "out")[2]["mcc"] == [4, 1]


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
