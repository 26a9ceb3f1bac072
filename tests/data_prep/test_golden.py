"""Each recipe's worked example: raw rows in, sequences out, numbers found by hand."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from grap_seq.prep.describe.recipes import names
from grap_seq.prep.prepare import prepare
from grap_seq.resources import folder
from tests.data_prep.copies import write_folds


@pytest.mark.parametrize("name", names())
def test_worked_example(name: str, tmp_path: Path) -> None:
    golden = folder("data_prep") / name / "golden"
    source, spec = golden, golden / "dataset.yaml"
    if name == "flights":
        source = tmp_path
        shutil.copy(golden / "planes.csv", source)
        with zipfile.ZipFile(source / "flights.csv.zip", "w") as archive:
            archive.write(golden / "flights.csv", "flights.csv")
    if name == "mbd_mini":
        source = write_folds(name, tmp_path / "raw")
    if name == "table":
        source, spec = golden / "events.csv", golden / "events.yaml"
    prepare(name, tmp_path / "out", source=source, spec=spec)
    expected = json.loads((golden / "sequences.json").read_text("utf-8"))
    for split, rows in expected.items():
        found = pq.read_table(tmp_path / "out" / split).to_pylist()
        assert len(found) == len(rows)
        for one, other in zip(found, rows, strict=True):
            assert list(one) == list(other)
            for column, value in other.items():
                if isinstance(value, list):
                    numbers = [float("nan") if x is None else x for x in value]
                    value = pytest.approx(numbers, abs=1e-4, nan_ok=True)
                elif isinstance(value, float):
                    value = pytest.approx(value, abs=1e-4)
                assert one[column] == value, column
