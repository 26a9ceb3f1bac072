"""The Taobao recipe against pandas, its seeded split, every copy of its file, bad rows."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pandas as pd
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare
from tests.data_prep.copies import copy_golden, every_packing_agrees, prepared

NAME = "taobao"
FILE = "tianchi_mobile_recommend_train_user.csv"


def test_every_copy_gives_the_same_folder(tmp_path: Path) -> None:
    every_packing_agrees(NAME, tmp_path)


def test_samples_labels_and_split_against_pandas(tmp_path: Path) -> None:
    raw = synth(NAME, tmp_path / "raw", rows=3000, seed=5)
    manifest = prepare(NAME, tmp_path / "out", source=raw)
    actions = pd.read_csv(raw / FILE)
    actions["when"] = pd.to_datetime(actions["time"], format="%Y-%m-%d %H")
    expected: dict[str, tuple[int, list[pd.Timestamp]]] = {}
    weeks = ["2014-11-18", "2014-11-25", "2014-12-02", "2014-12-09", "2014-12-16"]
    for number in (1, 2, 3):
        start, middle, end = (pd.Timestamp(day) for day in weeks[number - 1 : number + 2])
        later = actions[(actions["when"] >= middle) & (actions["when"] < end)]
        buyers = set(later.loc[later["behavior_type"] == 4, "user_id"])
        history = actions[(actions["when"] >= start) & (actions["when"] < middle)]
        for user, group in history.groupby("user_id"):
            times = group["when"].sort_values().tolist()
            expected[f"{user}_{number}"] = (int(user in buyers), times)
    order = sorted(name for name in expected if not name.endswith("_3"))
    Random(42).shuffle(order)
    val = set(order[: int(0.15 * len(order))])
    found = {}
    for split in ("train", "val", "test"):
        for row in pq.read_table(tmp_path / "out" / split).to_pylist():
            name = row["sample"]
            assert split == ("test" if name[-1] == "3" else "val" if name in val else "train")
            label, times = expected[name]
            assert row["label"] == label
            days = [(time - pd.Timestamp(0)) / pd.Timedelta(days=1) for time in times]
            assert row["event_time"] == pytest.approx(days, abs=1e-9)
            found[name] = row
    assert found.keys() == expected.keys()
    inside = sum(len(times) for _, times in expected.values())
    assert manifest.dropped == {"action outside the three weeks of history": len(actions) - inside}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2014-12-02 00", "2014-12-02T00", r"user\.csv, row 6: unreadable time.*2014-12-02T00"),
        ("5,20,3", ",20,3", r"user\.csv, row 5: no id in column 'sample'"),
        ("6,41,1", "6,x41,1", r"user\.csv, row 10: no finite number in column 'item_id': 'x41'"),
    ],
)
def test_bad_row_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    source = copy_golden(NAME, tmp_path)
    text = (source / FILE).read_text("utf-8")
    assert text.count(old) == 1
    (source / FILE).write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=message):
        prepared(NAME, source, tmp_path / "out")


def test_the_terms_are_pointed_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no tianchi_.*accept the terms"):
        prepare(NAME, tmp_path / "out", source=tmp_path)
