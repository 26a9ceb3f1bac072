"""Tables with many columns: all their fields work, and no step asks the engine once a field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from grap_seq import commands
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.engines.duckdb import DuckDB
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from tests.prep.helpers import content_of
from tests.wide import write_wide

FEW = ["dataset.hidden=4", "event_width=4", "objective.head_width=4", "trainer.threads=1"]
BOOSTING = "boosting.binary={n_estimators: 2, min_data_in_leaf: 2}"


def test_a_hundred_fields_and_more_from_the_table_to_the_scores(tmp_path: Path) -> None:
    source, prepared, run = write_wide(tmp_path, 150), tmp_path / "prepared", tmp_path / "run"
    commands.prepare(["dataset=table", f"source={source}", f"output={prepared}"])
    validate(prepared)
    table = pq.read_table(source)
    part = pq.read_table(prepared / "test")
    again = encode(table, prepared)
    kept = again.filter(pc.is_in(again["client"], part["client"]))
    assert kept.select(part.column_names[:-1]).equals(part.drop_columns("label"))
    short = ["trainer=smoke", "trainer.max_steps=2", "dataset.crops.views=2"]
    commands.pretrain(["dataset=table", f"prepared={prepared}", f"run={run}", *short, *FEW])
    commands.embed([f"run={run}", "threads=1"])
    commands.evaluate([f"run={run}", "threads=1", BOOSTING])
    result = json.loads((run / "evaluation.json").read_text("utf-8"))
    assert {"embedding", "aggregates"} <= set(result["test"])


class Counted:
    """Queries that DuckDB is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("to_pyarrow", "_relation"):
            monkeypatch.setattr(DuckDB, name, self._counting(getattr(DuckDB, name)))

    def _counting(self, method: Any) -> Any:
        def call(connection: DuckDB, table: Any) -> Any:
            self.count += 1
            return method(connection, table)

        return call


def test_sixteen_fields_more_are_a_query_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for fields in (5, 20, 40):
        source = write_wide(tmp_path / str(fields), fields)
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            prepare("table", tmp_path / f"out{fields}", source=source)
            counts.append(counted.count)
    # 4, 16 and 32 of them are categorical.
    assert [count - counts[0] for count in counts] == [0, 0, 1]


def test_a_suggestion_asks_no_more_of_many_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for fields in (5, 40):
        source = write_wide(tmp_path / str(fields), fields)
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            spec = DatasetSpec.load(suggest(source, tmp_path / f"{fields}.yaml"))
            counts.append(counted.count)
        assert len(spec.categorical) + len(spec.numerical) == fields
        assert (spec.id, spec.time, spec.label) == ("client", "when", ("y",))
    assert counts[0] == counts[1] > 2


def test_of_ten_thousand_columns_five_are_read(tmp_path: Path) -> None:
    source = write_wide(tmp_path, 5, events=40, unused=10_000)
    prepare("table", tmp_path / "whole", source=source)
    damaged = bytearray(source.read_bytes())
    group = pq.ParquetFile(source).metadata.row_group(0)
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema.startswith("unused"):
            start = column.dictionary_page_offset or column.data_page_offset
            damaged[start : start + column.total_compressed_size] = bytes(
                column.total_compressed_size
            )
    source.write_bytes(damaged)
    # Nobody could read those columns now.
    with pytest.raises(OSError, match=r"(?i)page|deserialize|thrift"):
        pq.read_table(source, columns=["unused7"])
    prepare("table", tmp_path / "part", source=source)
    whole, part = (content_of(tmp_path / name) for name in ("whole", "part"))
    assert whole == part
