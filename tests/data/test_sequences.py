"""The memory map against the parquet files as pandas reads them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.data.sequences import Sequences
from grap_seq.schema import TIME, Schema
from tests.data.toy import SCHEMA, UNLABELLED_SCHEMA, random_rows, sequences, table, write_prepared

FIELDS = (TIME, *(field.name for field in SCHEMA.fields))
LENGTHS = (5, 1, 3, 12, 2, 7, 40)


def assert_same_rows(found: Sequences, frame: pd.DataFrame) -> None:
    assert len(found) == len(frame)
    assert found.ids(0, len(found)).to_pylist() == frame.client.tolist()
    for row in range(len(frame)):
        length = len(frame[TIME].iloc[row])
        assert found.lengths[row] == length
        for start, stop in ((0, length), (length // 3, length), (0, (length + 1) // 2)):
            events = found.events(row, start, stop)
            assert set(events) == set(FIELDS)
            for name, values in events.items():
                np.testing.assert_array_equal(values, frame[name].iloc[row][start:stop])


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_rows_are_those_of_the_parquet_files(prepared: Callable[..., Path], parts: int) -> None:
    folder = prepared(train=LENGTHS, parts=parts)
    found = Sequences(folder, "train")
    files = sorted((folder / "train").glob("*.parquet"))
    assert len(files) == parts
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    assert_same_rows(found, frame)
    assert found.labels.tolist() == frame.label.fillna(-1).astype(int).tolist()
    assert -1 in found.labels
    assert found.schema == SCHEMA
    # The second time the copy is there already; a part of the rows can be asked for.
    again = Sequences(folder, "train")
    assert_same_rows(again, frame)
    assert again.ids(2, 5).to_pylist() == frame.client[2:5].tolist()


def test_splits_do_not_mix(prepared: Callable[..., Path]) -> None:
    folder = prepared(train=[5, 3], val=[2, 9, 4], test=[6])
    lengths = {
        split: Sequences(folder, split).lengths.tolist() for split in ("train", "val", "test")
    }
    assert lengths == {"train": [5, 3], "val": [2, 9, 4], "test": [6]}


def test_more_rows_than_one_record_batch(tmp_path: Path) -> None:
    rows = random_rows([1 + i % 3 for i in range(5000)])
    found = Sequences(write_prepared(tmp_path / "many", {"train": rows}), "train")
    assert found.lengths.tolist() == [1 + i % 3 for i in range(5000)]
    for row in (0, 4095, 4096, 4999):
        np.testing.assert_array_equal(found.events(row, 0, 1 + row % 3)[TIME], rows[row][TIME])


@pytest.mark.parametrize("schema", [SCHEMA, UNLABELLED_SCHEMA])
def test_rows_without_labels(tmp_path: Path, schema: Schema) -> None:
    rows = [{**row, "label": None} for row in random_rows(LENGTHS)]
    folder = write_prepared(tmp_path / "plain", {"train": rows}, schema=schema)
    assert Sequences(folder, "train").labels.tolist() == [-1] * len(LENGTHS)


def test_rows_in_memory_are_the_same_rows() -> None:
    rows = random_rows(LENGTHS)
    found = sequences(rows)
    assert_same_rows(found, table(rows).to_pandas())
    assert found.labels.tolist() == [-1 if row["label"] is None else row["label"] for row in rows]
    # Part of a table: its lists start somewhere inside their values.
    part = Sequences.from_table(SCHEMA, table(rows).slice(2, 3))
    assert_same_rows(part, table(rows[2:5]).to_pandas())
    chunks = pa.concat_tables([table(rows[:3]), table(rows[3:])])
    assert_same_rows(Sequences.from_table(SCHEMA, chunks), table(rows).to_pandas())


def test_no_rows() -> None:
    empty = sequences([])
    assert len(empty) == 0
    assert empty.lengths.tolist() == empty.labels.tolist() == []


def test_the_copy_follows_the_manifest(prepared: Callable[..., Path]) -> None:
    folder = prepared(train=[5, 3])
    assert Sequences(folder, "train").lengths.tolist() == [5, 3]
    (first,) = (folder / ".cache").glob("train-*.arrow")
    stamp = first.stat().st_mtime_ns
    Sequences(folder, "train")
    assert first.stat().st_mtime_ns == stamp
    # Prepared again, with other rows.
    prepared(train=[2, 2, 9])
    assert Sequences(folder, "train").lengths.tolist() == [2, 2, 9]
    # The old copy is gone; that of another split would stay.
    (second,) = (folder / ".cache").glob("train-*.arrow")
    assert second.name != first.name
    Sequences(folder, "val")
    assert second.is_file()


def test_an_interrupted_copy_is_not_taken_for_a_whole_one(
    prepared: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(train=LENGTHS, parts=3)
    opened = []

    class Failing(pq.ParquetFile):  # type: ignore[misc]
        def __init__(self, path: Path, **options: Any) -> None:
            opened.append(path)
            if len(opened) == 2:
                raise OSError("no space left on device")
            super().__init__(path, **options)

    monkeypatch.setattr(pq, "ParquetFile", Failing)
    with pytest.raises(OSError, match="no space"):
        Sequences(folder, "train")
    assert list((folder / ".cache").glob("*.arrow*")) == []
    assert Sequences(folder, "train").lengths.tolist() == list(LENGTHS)


def test_a_worker_process_maps_the_file_itself(prepared: Callable[..., Path]) -> None:
    found = Sequences(prepared(train=[2000] * 20), "train")
    sent = pickle.dumps(found)
    assert len(sent) < 10_000
    received = pickle.loads(sent)
    for name, values in found.events(7, 100, 200).items():
        np.testing.assert_array_equal(received.events(7, 100, 200)[name], values)
    assert received.labels.tolist() == found.labels.tolist()


def test_a_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grap-seq prepare"):
        Sequences(tmp_path, "train")
