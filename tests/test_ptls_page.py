"""docs/pytorch-lifestream.md: its examples run, and ptls reads what our own reader reads."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grap_seq.data.sequences import Sequences
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from grap_seq.schema import SPLITS, Schema
from tests.shop import purchases

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pytorch-lifestream.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the examples."""
    shutil.copytree(shop, tmp_path / "data" / "shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place: int) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(BLOCKS[place], "docs/pytorch-lifestream.md", "exec"), namespace)
    return namespace


def test_ptls_reads_what_we_read(folder: Path) -> None:
    namespace = run(0)
    prepared = folder / "data" / "shop"
    schema = Schema.load(prepared)
    for split in SPLITS:
        sequences = Sequences(prepared, split)
        files = namespace["ParquetFiles"](str(prepared / split))
        records = list(namespace["ParquetDataset"](files))
        assert len(records) == len(sequences) > 0
        for row, record in enumerate(records):
            assert record["customer"] == sequences.ids(row, row + 1)[0].as_py()
            assert record["label"] == sequences.labels[row]
            ours = sequences.events(row, 0, int(sequences.lengths[row]))
            assert set(record) == {"customer", "label", *ours}
            for name, values in ours.items():
                assert isinstance(record[name], torch.Tensor)
                np.testing.assert_array_equal(record[name].numpy(), values)
    assert {field.name for field in schema.fields} < set(namespace["record"])


def test_unlabelled_sequences_are_nan(folder: Path) -> None:
    frame = purchases(5).drop(columns="churned")
    frame.to_parquet(folder / "new.parquet")
    new = folder / "new"
    prepare("table", new, source=folder / "new.parquet", like=folder / "data" / "shop")
    namespace = run(0)
    records = list(namespace["ParquetDataset"](namespace["ParquetFiles"](str(new / "test"))))
    assert len(records) == 5
    assert all(np.isnan(record["label"]) for record in records)


def test_batches_are_padded_with_the_code_of_padding(folder: Path) -> None:
    batch = run(1)["batch"]
    lengths, codes = batch.seq_lens, batch.payload["kind"]
    assert codes.shape == (8, int(lengths.max()))
    assert (codes > 0).sum(1).tolist() == lengths.tolist()


def test_records_are_coded_and_can_be_prepared(folder: Path) -> None:
    namespace = run(2)
    coded = namespace["coded"]
    assert coded["customer"].to_pylist() == [1, 2]
    assert [len(codes) for codes in coded["kind"].to_pylist()] == [3, 1]
    assert np.isnan(coded["amount"].to_pylist()[0][2])
    again = encode(namespace["path"], folder / "data" / "shop")
    assert repr(again.to_pydict()) == repr(coded.to_pydict())
    prepare("table", folder / "new", source=namespace["path"], like=folder / "data" / "shop")
    assert Sequences(folder / "new", "test").lengths.tolist() == [3, 1]
