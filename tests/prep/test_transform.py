"""New events get the codes, bounds and order of the prepared ones, however they are kept."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode, read_events
from tests.prep.helpers import GOOD, write_source

START = dt.datetime(2020, 1, 1)


class ArrowFrame:
    """A data frame library of which only the conversion to Arrow is known, as of polars."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def to_arrow(self) -> pa.Table:
        return self.table


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = 300
    return pd.DataFrame(
        {
            "client": random.integers(1, 40, rows),
            "when": [START + dt.timedelta(hours=int(n)) for n in random.integers(0, 90, rows)],
            "kind": random.choice(np.array(["a", "b", "c", None]), rows),
            "code": random.choice([1.0, 2.0, np.nan], rows),
            "amount": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(2, 2, rows)),
        }
    )


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("transform")
    source = write_source(
        place,
        frame.to_csv(index=False),
        categorical=["kind", "code"],
        numerical={"amount": {"by": "kind", "log": True}},
        split={"validation": 0.2, "test": 0.2},
    )
    prepare("table", place / "out", source=source)
    return place


def _prepared(folder: Path) -> pa.Table:
    parts = [pq.read_table(folder / "out" / split) for split in ("train", "val", "test")]
    return pa.concat_tables(parts).drop_columns("label").sort_by("client")


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Equal bit by bit, with NaN equal to itself."""
    return one.schema == other.schema and repr(one.to_pydict()) == repr(other.to_pydict())


def test_every_kind_of_table_gives_the_prepared_rows(folder: Path, frame: pd.DataFrame) -> None:
    expected = _prepared(folder)
    shuffled = frame.sample(frac=1, random_state=1)
    table = pa.Table.from_pandas(shuffled, preserve_index=False)
    pq.write_table(table, folder / "new.parquet")
    state = State.load(folder / "out")
    for events in (
        shuffled,
        shuffled.assign(client=shuffled["client"].astype(str)),
        table,
        ArrowFrame(table),
        folder / "events.csv",
        str(folder / "new.parquet"),
    ):
        assert _same(encode(events, folder / "out"), expected)
    assert _same(encode(shuffled, state), expected)


def test_few_sequences_are_coded_like_all(folder: Path, frame: pd.DataFrame) -> None:
    expected = _prepared(folder)
    for client in frame["client"].unique()[:2]:
        found = encode(frame[frame["client"] == client], folder / "out")
        assert _same(found, expected.filter(pa.compute.field("client") == client))


def test_unseen_values_and_extremes(folder: Path, frame: pd.DataFrame) -> None:
    state = State.load(folder / "out")
    new = frame.iloc[:2].assign(client=[99, 99], kind=["zz", "a"], amount=[1e12, 1e12], code=[7, 1])
    row = encode(new.sort_values("when"), folder / "out").to_pylist()[0]
    order = new.sort_values("when").index
    place = list(order).index(new.index[0])
    assert row["kind"][place] == len(state.categorical["kind"]) + 1
    scaler = state.numerical["amount"]
    bounds = scaler.other
    assert row["amount"][place] == pytest.approx((bounds.high - bounds.mean) / bounds.std)
    group = scaler.groups[state.categorical["kind"].index("a")]
    assert group is not None
    assert row["amount"][1 - place] == pytest.approx((group.high - group.mean) / group.std)


def test_new_coding_of_a_column_is_pointed_out(folder: Path, frame: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match="no value of 'kind' occurred in the training data"):
        encode(frame.assign(kind="A"), folder / "out")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"client": [None, 1]}, r"events, row 1: no id in column 'client'; correct or remove"),
        ({"when": [START, None]}, r"events, row 2: no time in column 'when'"),
        ({"when": ["2020-01-01", "soon"]}, r"events, row 2: unreadable time .*: 'soon'"),
        ({"when": [1.0, 2.0]}, r"column 'when' is a number, in preparation it was a timestamp"),
        ({"amount": [1.0, math.inf]}, r"events, row 2: no finite number in column 'amount': 'inf'"),
        ({"client": ["x", "y"]}, r"ids of 'client' were integers in preparation"),
        ({"kind": None}, r"events: no column 'kind'"),
    ],
)
def test_bad_events_are_named(folder: Path, columns: dict[str, Any], message: str) -> None:
    good = {"client": [1, 1], "when": [START, START], "kind": ["a", "b"], "code": [1, 2]}
    content = {**good, "amount": [1.0, 2.0], **columns}
    table = pa.table({name: values for name, values in content.items() if values is not None})
    with pytest.raises(ValueError, match=message):
        encode(table, folder / "out")


def test_nothing_to_encode(folder: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="the table has no events"):
        encode(frame.iloc[:0], folder / "out")
    with pytest.raises(ValueError, match="give a pandas, polars or pyarrow table"):
        encode([1, 2], folder / "out")
    with pytest.raises(FileNotFoundError, match="neither a prepared folder nor a run"):
        encode(frame, folder)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        encode(folder / "absent.csv", folder / "out")


def test_read_events_joins_the_label(tmp_path: Path) -> None:
    source = write_source(tmp_path, GOOD, label="y", labels="labels.csv")
    (tmp_path / "labels.csv").write_text("client,y\n1,a\n2,b\n", "utf-8")
    events = read_events("table", source)
    assert list(events.columns) == ["client", "when", "kind", "amount", "y"]
    assert events["amount"].tolist() == [1.0, 3.0, 5.0, 7.0]
    assert events["y"].tolist()[:3] == ["a", "a", "b"]
    assert events["y"].isna().tolist() == [False, False, False, True]
