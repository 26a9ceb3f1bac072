"""Parts as others read them: pyarrow's types, and pytorch-lifestream's own dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages import parts
from grap_seq.prep.stages import sequences as stages
from tests.prep.helpers import write_source


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stages, "VALUES_PER_BUCKET", 300)
    monkeypatch.setattr(parts, "EVENTS_PER_GROUP", 20)
    lines = "".join(f"{n % 50},{n},k{n % 3},{n % 7},{n % 50 % 2}\n" for n in range(300))
    source = write_source(tmp_path, "client,when,kind,amount,y\n" + lines, label="y")
    prepare("table", tmp_path / "out", source=source)
    return tmp_path / "out"


def test_types_order_and_row_groups(prepared: Path) -> None:
    paths = sorted((prepared / "train").iterdir())
    assert [path.name for path in paths] == [f"part-{n:05d}.parquet" for n in range(3)]
    ids = []
    for path in paths:
        file = pq.ParquetFile(path)
        assert file.schema_arrow == pa.schema(
            [
                ("client", pa.int64()),
                ("event_time", pa.list_(pa.float64())),
                ("kind", pa.list_(pa.int32())),
                ("amount", pa.list_(pa.float32())),
                ("label", pa.int32()),
            ]
        )
        assert all(file.metadata.row_group(n).num_rows <= 3 for n in range(file.num_row_groups))
        column = file.read()["client"].to_pylist()
        assert column == sorted(column)
        ids += column
    assert sorted(ids) == list(range(50))
    # Empty splits have parts too: readers need their types.
    assert pq.read_table(prepared / "test").num_rows == 0


def test_ptls_reads_the_parts(prepared: Path) -> None:
    from ptls.data_load.datasets.parquet_dataset import ParquetDataset

    records = list(ParquetDataset([str(path) for path in sorted((prepared / "train").iterdir())]))
    assert len(records) == 50
    for record in records:
        assert record["label"] == record["client"] % 2
        times = np.asarray(record["event_time"])
        assert np.array_equal(times, np.arange(record["client"], 300, 50))
        assert len(record["kind"]) == len(record["amount"]) == 6
