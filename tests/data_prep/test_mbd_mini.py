"""The MBD mini recipe: months against the time zone database, folds, bad rows."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.schema import Schema
from tests.data_prep.copies import golden, write_folds
from tests.prep.helpers import content_of, rows_of

NAME = "mbd_mini"
SPEC = golden(NAME) / "dataset.yaml"
Row = dict[str, Any]


def test_labels_folds_and_times_against_pandas(tmp_path: Path) -> None:
    raw = synth(NAME, tmp_path / "raw", rows=3000, seed=7)
    manifest = prepare(NAME, tmp_path / "out", source=raw)
    validate(tmp_path / "out")
    trx = pd.concat(
        pd.read_parquet(path).assign(fold=path.parent.name)
        for path in sorted((raw / "ptls" / "trx").rglob("*.parquet"))
    ).set_index("client_id")
    targets = pd.concat(map(pd.read_parquet, sorted((raw / "targets").rglob("*.parquet"))))
    months = {client: group for client, group in targets.groupby("client_id")}
    found, early = {}, 0
    for split in ("train", "val", "test"):
        for row in rows_of(tmp_path / "out", split):
            client = trx.loc[row["client_id"]]
            assert (split == "test") == (client.fold == "fold=4")
            moments = [
                dt.datetime.fromtimestamp(s, ZoneInfo("Europe/Moscow")) for s in client.event_time
            ]
            days = [m.replace(tzinfo=dt.timezone.utc).timestamp() / 86_400 for m in moments]
            assert row["event_time"] == pytest.approx(days, abs=1e-9)
            expected = []
            for mon, target in months.get(row["client_id"], targets[:0])[
                ["mon", "target_2"]
            ].to_numpy():
                before = [m for m in moments if m.strftime("%Y-%m") < mon[:7]]
                early += not before
                if before:
                    expected.append((mon, len(before) - 1, target))
            expected.sort()
            assert row["label_position"] == ([place for _, place, _ in expected] or None)
            assert row["label"] == ([target for *_, target in expected] or None)
            found[row["client_id"]] = expected
    assert found.keys() == set(trx.index)
    assert max(map(len, found.values())) > 8
    assert min(map(len, found.values())) == 0
    silent = set(months) - set(trx.index)
    assert manifest.dropped == {
        "month of a client without transactions": sum(len(months[client]) for client in silent),
        "label before the sequence's first event": early,
    }
    labelled = sum(split["labelled"] for split in manifest.splits.values())
    pairs = sum(sum(split["classes"].values()) for split in manifest.splits.values())
    assert labelled == sum(map(bool, found.values()))
    assert pairs == sum(map(len, found.values()))


def _change(path: Path, change: Callable[[list[Row]], object]) -> None:
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _prepared(source: Path, output: Path, **options: Any) -> dict[str, bytes]:
    prepare(NAME, output, source=source, spec=SPEC, **options)
    return content_of(output)


def test_dates_and_upper_case_give_the_same_folder(tmp_path: Path) -> None:
    source = write_folds(NAME, tmp_path / "raw")
    expected = _prepared(source, tmp_path / "one")

    def change(rows: list[Row]) -> None:
        for row in rows:
            row["MON"] = dt.date.fromisoformat(row.pop("mon"))

    for path in (source / "targets").rglob("*.parquet"):
        _change(path, change)
    assert _prepared(source, tmp_path / "two") == expected


def _target(place: int, **values: Any) -> Callable[[list[Row]], object]:
    return lambda rows: rows[place].update(values)


BAD = {
    "two answers": ("targets", _target(1, mon="2022-04-29"), "conflicting labels of an id at one"),
    "no month": ("targets", _target(1, mon=None), "label without time in column 'month'"),
    "no date": ("targets", _target(1, mon="2022/02"), "row 2: unreadable time in column 'month'"),
    "no client": ("targets", _target(1, client_id=None), "row 2: label without id"),
    "no time": ("ptls/trx", lambda rows: rows[1].update(event_time=[None]), "row 2: no time in"),
    "infinite": (
        "ptls/trx",
        lambda rows: rows[1].update(amount=[float("inf")]),
        "row 2: no finite number in column 'amount'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_row_is_named(case: str, tmp_path: Path) -> None:
    table, change, message = BAD[case]
    source = write_folds(NAME, tmp_path / "raw")
    path = source / table / "fold=0" / "part-00000.snappy.parquet"
    if case == "two answers":
        _change(path, _target(1, target_2=1))
    _change(path, change)
    with pytest.raises(ValueError, match=rf"part-00000\.snappy\.parquet.*{message}"):
        _prepared(source, tmp_path / "out")


def test_new_clients_without_targets(tmp_path: Path) -> None:
    source = write_folds(NAME, tmp_path / "raw")
    _prepared(source, tmp_path / "out")
    shutil.rmtree(source / "targets")
    prepare(NAME, tmp_path / "new", source=source, spec=SPEC, like=tmp_path / "out")
    assert Schema.load(tmp_path / "new").hash == Schema.load(tmp_path / "out").hash
    validate(tmp_path / "new")
    rows = rows_of(tmp_path / "new", "test")
    assert [row["client_id"] for row in rows] == ["a1", "b2", "c3", "e5"]
    assert {row["label"] for row in rows} == {None}


def test_missing_folders_are_named(tmp_path: Path) -> None:
    source = write_folds(NAME, tmp_path / "raw")
    (source / "targets").rename(source / "other")
    with pytest.raises(ValueError, match=r"the source has no labels; unpack ptls\.tar\.gz"):
        _prepared(source, tmp_path / "out")
    (source / "ptls").rename(source / "detail")
    with pytest.raises(FileNotFoundError, match=r"trx has no folder fold=0.*ptls\.tar\.gz"):
        _prepared(source, tmp_path / "out")
