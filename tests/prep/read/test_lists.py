"""Tables with a list a field give what the same events give with a row each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.prepare import prepare
from grap_seq.prep.read.lists import records_table, write_records
from grap_seq.prep.transform import encode, read_events
from tests.prep.helpers import SPEC, content_of, rows_of

CHANGES: dict[str, Any] = {
    "numerical": {"amount": {"by": "kind"}},
    "label": "left",
    "split": {"validation": 0.2, "test": 0.2},
}


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    rows = 200
    client = random.integers(1, 30, rows)
    return pd.DataFrame(
        {
            "client": client,
            "when": random.integers(0, 60, rows) / 2,
            "kind": random.choice(np.array(["a", "b", None]), rows),
            "amount": np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows)),
            "left": client % 2,
        }
    )


def _listed(frame: pd.DataFrame) -> pa.Table:
    """One row a client: lists in the order of the rows; a missing number is null."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    rows: dict[int, dict[str, Any]] = {}
    for event in table.to_pylist():
        row = rows.setdefault(event["client"], {"client": event["client"], "left": event["left"]})
        for name in ("when", "kind", "amount"):
            row.setdefault(name, []).append(event[name])
    return pa.Table.from_pylist(list(rows.values()))


def _write(folder: Path, table: pa.Table | pd.DataFrame, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "events.yaml").write_text(yaml.safe_dump({**SPEC, **CHANGES, **changes}), "utf-8")
    path = folder / "events.parquet"
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(table, path, row_group_size=7)
    return path


def test_lists_and_rows_are_prepared_alike(tmp_path: Path) -> None:
    frame = _frame()
    flat, listed = _write(tmp_path / "flat", frame), _write(tmp_path / "lists", _listed(frame))
    prepare("table", tmp_path / "one", source=flat)
    prepare("table", tmp_path / "two", source=listed)
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")
    parts = tmp_path / "parts"
    parts.mkdir()
    table = pq.read_table(listed)
    pq.write_table(table.slice(0, 9), parts / "0.parquet")
    pq.write_table(table.slice(9), parts / "1.parquet")
    prepare("table", tmp_path / "three", source=parts, spec=tmp_path / "lists" / "events.yaml")
    assert content_of(tmp_path / "three") == content_of(tmp_path / "one")
    order = ["client", "when", "kind", "amount"]
    one, two = (
        read_events("table", p).sort_values(order, ignore_index=True) for p in (flat, listed)
    )
    pd.testing.assert_frame_equal(one, two)


def test_records_and_listed_tables_are_encoded_alike(tmp_path: Path) -> None:
    frame = _frame()
    prepare("table", tmp_path / "out", source=_write(tmp_path / "raw", frame))
    expected = encode(frame, tmp_path / "out")
    table = _listed(frame)
    records = [
        {
            "client": row["client"],
            "when": torch.tensor(row["when"]),
            "kind": np.array(row["kind"], dtype=object),
            "amount": pa.array(row["amount"], pa.float64()).to_numpy(zero_copy_only=False),
            "left": torch.tensor(row["left"]),
        }
        for row in table.to_pylist()
    ]
    assert any(np.isnan(row["amount"]).any() for row in records)
    path = write_records(iter(records), tmp_path / "records.parquet")
    assert pq.read_table(path).schema.types[0] == pa.int64()
    for events in (table, table.to_pandas(), records, path):
        assert repr(encode(events, tmp_path / "out").to_pydict()) == repr(expected.to_pydict())
    records[4]["when"] = torch.tensor([float("inf")] * len(records[4]["when"]))
    with pytest.raises(ValueError, match="events, row 5: unreadable time in column 'when': 'inf'"):
        encode(records, tmp_path / "out")


def test_the_order_of_the_lists_can_settle_ties(tmp_path: Path) -> None:
    table = pa.table(
        {
            "client": [1, 2],
            "when": [[0.0, 0.0, 0.0], [0.0]],
            "kind": [["b", "a", "c"], ["a"]],
            "amount": [[1.0, 2.0, 3.0], [4.0]],
            "left": [0, 1],
        }
    )
    split = {"validation": 0, "test": 0}
    source = _write(tmp_path / "raw", table, tie_order=["place"], split=split)
    prepare("table", tmp_path / "out", source=source)
    codes = {"a": 1, "b": 2, "c": 3}
    assert rows_of(tmp_path / "out")[0]["kind"] == [codes[kind] for kind in "bac"]
    # A column of that name is the user's own, here one that turns the order round.
    own = table.append_column("place", pa.array([[3, 2, 1], [1]]))
    source = _write(tmp_path / "own", own, tie_order=["place"], split=split)
    prepare("table", tmp_path / "turned", source=source)
    assert rows_of(tmp_path / "turned")[0]["kind"] == [codes[kind] for kind in "cab"]


def test_empty_and_missing_lists_are_no_events(tmp_path: Path) -> None:
    table = _listed(_frame())
    more = pa.Table.from_pylist(
        [
            {"client": 100, "left": 1, "when": [], "kind": [], "amount": []},
            {"client": 101, "left": 1, "when": None, "kind": None, "amount": None},
        ],
        table.schema,
    )
    prepare("table", tmp_path / "one", source=_write(tmp_path / "a", table))
    prepare(
        "table", tmp_path / "two", source=_write(tmp_path / "b", pa.concat_tables([table, more]))
    )
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": ["a"]}, "has 2 values of 'when' and 1 of 'kind'; the lists"),
        ({"kind": None}, "has 2 values of 'when' and 0 of 'kind'; the lists"),
        ({"when": [0.0, None]}, r"events\.parquet, row 3: no time in column 'when'"),
        ({"amount": [0.0, float("inf")]}, r"events\.parquet, row 3: no finite number"),
    ],
)
def test_bad_lists_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    good = {"client": 1, "left": 0, "when": [0.0, 1.0], "kind": ["a", "b"], "amount": [1.0, 2.0]}
    rows = [{**good, "client": number} for number in range(5)]
    rows[2].update(change)
    source = _write(tmp_path / "raw", pa.Table.from_pylist(rows))
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=source)


def list_parts(folder: Path) -> Path:
    """Sixty parts, of which one has a bad list in its second row."""
    parts = folder / "parts"
    parts.mkdir()
    for part in range(60):
        rows = [{"client": 3 * part + n, "left": n % 2, "when": [0.0, 1.0]} for n in range(3)]
        rows = [{**row, "kind": ["a", "b"], "amount": [1.0, 2.0]} for row in rows]
        if part == 41:
            rows[1]["when"] = [0.0, None]
        pq.write_table(pa.Table.from_pylist(rows), parts / f"part-{part:02d}.parquet")
    (folder / "parts.yaml").write_text(yaml.safe_dump({**SPEC, **CHANGES}), "utf-8")
    return parts


def test_a_bad_list_of_many_parts_is_named_by_its_part_and_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"part-41\.parquet, row 2: no time in column 'when'"):
        prepare("table", tmp_path / "out", source=list_parts(tmp_path))


def test_lists_beside_single_values(tmp_path: Path) -> None:
    table = _listed(_frame())
    place = table.column_names.index("kind")
    table = table.set_column(place, "kind", pa.array(["a"] * table.num_rows))
    with pytest.raises(ValueError, match="'when' holds lists and 'kind' one value a row"):
        prepare("table", tmp_path / "out", source=_write(tmp_path / "raw", table))


def test_a_description_is_suggested(tmp_path: Path) -> None:
    source = _write(tmp_path / "raw", _listed(_frame()))
    written = suggest(source, tmp_path / "new.yaml")
    content = yaml.safe_load(written.read_text("utf-8"))
    assert (content["id"], content["time"], content["label"]) == ("client", "when", "left")
    assert (content["categorical"], list(content["numerical"])) == (["kind"], ["amount"])
    prepare("table", tmp_path / "out", source=source, spec=written)


def test_records_that_fit_no_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a' cannot become a column"):
        records_table([{"a": torch.zeros(2, 2)}])
    with pytest.raises(ValueError, match="'a' cannot become a column"):
        records_table([{"a": [1]}, {"a": "x"}])
    with pytest.raises(ValueError, match="no records"):
        write_records([], tmp_path / "none.parquet")

    def later() -> Iterator[dict[str, Any]]:
        for number in range(1500):
            yield {"id": number, "a" if number < 1000 else "b": [1]}

    with pytest.raises(ValueError, match="later records have other fields"):
        write_records(later(), tmp_path / "later.parquet")
    assert list(tmp_path.iterdir()) == []
    many = ({"id": number, "a": [number] * (number % 3)} for number in range(2500))
    table = pq.read_table(write_records(many, tmp_path / "many.parquet"))
    assert table["id"].to_pylist() == list(range(2500))
    assert table["a"][-1].as_py() == [2499] * (2499 % 3)
