"""A coder that is kept codes every table as if it were its first."""

from __future__ import annotations

import datetime as dt
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.prep import coder as module
from grap_seq.prep.coder import Coder
from grap_seq.prep.coding_plan import CodingPlan
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import write_source

START = dt.datetime(2020, 1, 1)
CLIENTS = range(40)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    rows = 400
    client = random.integers(0, len(CLIENTS), rows)
    return pd.DataFrame(
        {
            "client": client,
            "when": [START + dt.timedelta(hours=int(n)) for n in random.integers(0, 90, rows)],
            "kind": random.choice(np.array(["a", "b", "c", None]), rows),
            "amount": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(2, 2, rows)),
            "region": np.where(client % 3, "north", "south"),
        }
    )


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("coder")
    source = write_source(
        place,
        frame.to_csv(index=False),
        categorical=["kind"],
        calendar=["hour", "weekday"],
        numerical={"amount": {"by": "kind", "log": True}},
        static={"categorical": ["region"]},
        until="2020-02-01",
        split={"validation": 0.2, "test": 0.2},
    )
    prepare("table", place / "out", source=source)
    return place / "out"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[int, str]:
    """By id, what preparation has made of the whole table."""
    parts = [pq.read_table(folder / split) for split in ("train", "val", "test")]
    rows = pa.concat_tables(parts).drop_columns("label").to_pylist()
    return {row["client"]: repr(row) for row in rows}


def _of(coder: Coder, events: Any, until: Any = None) -> dict[int, str]:
    return {row["client"]: repr(row) for row in coder.encode(events, until).to_pylist()}


def _as(frame: pd.DataFrame, kind: str) -> Any:
    if kind == "text":
        return frame.assign(client=frame["client"].astype(str), when=frame["when"].astype(str))
    if kind == "categories":
        return frame.assign(kind=frame["kind"].astype("category"))
    if kind == "zone":
        return frame.assign(when=frame["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    if kind == "lists":
        lists = {name: [frame[name].to_numpy()] for name in ("when", "kind", "amount")}
        fixed = {name: [frame[name].iloc[0]] for name in ("client", "region")}
        return pa.table({**fixed, **{k: pa.array(v, from_pandas=True) for k, v in lists.items()}})
    return pa.Table.from_pandas(frame) if kind == "arrow" else frame


def test_one_customer_after_the_other(
    folder: Path,
    frame: pd.DataFrame,
    expected: dict[int, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def make(*given: Any) -> CodingPlan:
        made.append(CodingPlan(*given))
        return made[-1]

    monkeypatch.setattr(module, "CodingPlan", make)
    coder = Coder(State.load(folder))
    kinds = ("frame", "text", "categories", "zone", "lists")
    for client in range(12):
        one = frame[frame["client"] == client].sample(frac=1, random_state=client)
        for kind in kinds:
            assert _of(coder, _as(one, kind)) == {client: expected[client]}, kind
    # A column of missing values alone has a type of its own.
    assert len(made) <= 2 * len(kinds)


def test_many_kinds_of_tables(
    folder: Path,
    frame: pd.DataFrame,
    expected: dict[int, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PLANS", 2)
    coder = Coder(State.load(folder))
    for kind in ("frame", "text", "zone", "frame", "categories", "text"):
        assert _of(coder, _as(frame, kind)) == expected
        assert len(coder._plans) <= 2


def test_many_events_have_a_connection_of_their_own(
    folder: Path, frame: pd.DataFrame, expected: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW_EVENTS", 100)
    coder = Coder(State.load(folder))
    assert _of(coder, frame) == expected
    assert coder._connection is None


def test_a_bad_table_between_good_ones(
    folder: Path, frame: pd.DataFrame, expected: dict[int, str]
) -> None:
    coder = Coder(State.load(folder))
    one = frame[frame["client"] == 7].reset_index(drop=True)
    for column, value, message in (
        ("amount", np.inf, "events, row 2: no finite number in column 'amount': 'inf'"),
        ("when", pd.NaT, "events, row 2: no time in column 'when'"),
        ("region", "west", "several values in column 'region' for one id"),
        ("when", pd.Timestamp("2020-03-01"), r"after the date in until: 2020-02-01: '7'"),
    ):
        assert _of(coder, one) == {7: expected[7]}
        bad = one.copy()
        bad.loc[1, column] = value
        with pytest.raises(ValueError, match=message):
            coder.encode(bad)
    assert _of(coder, one) == {7: expected[7]}
    with pytest.raises(ValueError, match="the table has no events"):
        coder.encode(one.iloc[:0])


def test_every_call_has_its_own_until(folder: Path, frame: pd.DataFrame) -> None:
    coder = Coder(State.load(folder))
    one = frame[frame["client"] == 7]
    ends = [coder.encode(one, f"2020-03-{day:02}")["until"][0].as_py() for day in range(1, 6)]
    assert np.diff(ends).tolist() == [1, 1, 1, 1]
    newest = coder.encode(one, "newest")
    assert newest["until"][0].as_py() == newest["event_time"][0][-1].as_py()
    assert len(coder._plans) == 1
    with pytest.raises(ValueError, match="until: 2020-01-02: '7'"):
        coder.encode(one, "2020-01-02")
    seen = coder.encode(one.assign(seen=pd.Timestamp("2020-03-01")), "seen")
    assert seen["until"][0].as_py() == ends[0]


def test_threads_take_turns(folder: Path, frame: pd.DataFrame, expected: dict[int, str]) -> None:
    coder = Coder(State.load(folder))
    parts = [frame[frame["client"] == client] for client in CLIENTS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: _of(coder, part), parts))
    assert {client: row for one in found for client, row in one.items()} == expected


def test_forked_and_copied(folder: Path, frame: pd.DataFrame, expected: dict[int, str]) -> None:
    coder = Coder(State.load(folder))
    one = frame[frame["client"] == 7]
    _of(coder, one)
    child = os.fork()
    if not child:
        os._exit(0 if _of(coder, one) == {7: expected[7]} else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert _of(pickle.loads(pickle.dumps(coder)), one) == {7: expected[7]}
    coder.close()
    assert _of(coder, one) == {7: expected[7]}
