"""Order within one moment, and times that count from a sequence's first event."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from tests.prep.helpers import rows_of, write_source

TABLE = (
    "client,when,step,kind,amount\n"
    "1,5,2,a,1\n1,5,1,b,3\n1,5,,c,5\n1,4,9,d,7\n"
    "2,7.5,10,a,1\n2,7.5,9,b,3\n2,8.5,1,c,5\n"
)


def test_tie_order_comes_before_the_fields(tmp_path: Path) -> None:
    source = write_source(tmp_path, TABLE, tie_order=["step"])
    prepare("table", tmp_path / "out", source=source)
    # a, b and c occur twice, d once; by number (10 after 9), and a missing one first.
    assert [row["kind"] for row in rows_of(tmp_path / "out")] == [[4, 3, 2, 1], [2, 1, 3]]
    assert "step" not in rows_of(tmp_path / "out")[0]
    frame = pd.read_csv(source)
    assert encode(frame, tmp_path / "out")["kind"].to_pylist() == [[4, 3, 2, 1], [2, 1, 3]]


def test_a_field_may_order_by_its_numbers(tmp_path: Path) -> None:
    table = "client,when,kind,amount\n1,0,7,1\n1,0,10,3\n1,0,9,3\n2,0,10,5\n2,0,10,7\n"
    source = write_source(tmp_path, table, tie_order=["kind"])
    prepare("table", tmp_path / "out", source=source)
    # Codes: 10 is the most frequent, then 7 and 9 by value.
    assert rows_of(tmp_path / "out")[0]["kind"] == [2, 3, 1]


def test_times_from_the_first_event(tmp_path: Path) -> None:
    source = write_source(tmp_path, TABLE, relative_time=True)
    prepare("table", tmp_path / "out", source=source)
    expected = [[0, 1, 1, 1], [0, 0, 1]]
    assert [row["event_time"] for row in rows_of(tmp_path / "out")] == expected
    assert encode(pd.read_csv(source), tmp_path / "out")["event_time"].to_pylist() == expected


def test_bad_step_is_named(tmp_path: Path) -> None:
    source = write_source(tmp_path, TABLE.replace("1,4,9", "1,4,last"), tie_order=["step"])
    with pytest.raises(ValueError, match=r"row 4: no finite number in column 'step': 'last'"):
        prepare("table", tmp_path / "out", source=source)
    with pytest.raises(ValueError, match="no column 'stop'"):
        prepare(
            "table",
            tmp_path / "out",
            source=write_source(tmp_path, TABLE, tie_order=["stop"]),
        )
