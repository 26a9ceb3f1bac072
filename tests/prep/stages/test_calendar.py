"""Fields made from the time, against Python's own datetime."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from grap_seq.schema import Schema
from tests.prep.helpers import rows_of, write_source

ALL = ["hour", "weekday", "month"]


def _frame(rows: int = 300) -> pd.DataFrame:
    """Times from 1950 on: before 1970 whole days count backwards."""
    rng = np.random.default_rng(0)
    start = datetime(1950, 1, 1)
    minutes = rng.integers(0, 90 * 365 * 24 * 60, rows)
    return pd.DataFrame(
        {
            "client": rng.integers(0, 20, rows),
            "when": [str(start + timedelta(minutes=int(minute))) for minute in minutes],
            "kind": "a",
            "amount": 1.0,
        }
    )


def _prepare(folder: Path, frame: pd.DataFrame, **changes: Any) -> Path:
    source = write_source(folder, frame.to_csv(index=False), **changes)
    prepare("table", folder / "out", source=source)
    return folder / "out"


def test_codes_are_those_of_the_calendar(tmp_path: Path) -> None:
    frame = _frame()
    out = _prepare(tmp_path, frame, calendar=ALL)
    fields = {field.name: field.size for field in Schema.load(out).categorical}
    assert fields == {"kind": 3, "hour": 26, "weekday": 9, "month": 14}
    rows = rows_of(out)
    assert sum(len(row["hour"]) for row in rows) == len(frame)
    for row in rows:
        for place, day in enumerate(row["event_time"]):
            moment = datetime(1970, 1, 1) + timedelta(minutes=round(day * 24 * 60))
            wanted = (moment.hour + 1, moment.weekday() + 1, moment.month)
            assert tuple(row[name][place] for name in ALL) == wanted
    coded = encode(frame, out).to_pylist()
    assert coded == [{k: v for k, v in row.items() if k != "label"} for row in rows]


def test_a_number_can_be_scaled_by_the_hour(tmp_path: Path) -> None:
    out = _prepare(tmp_path, _frame(), calendar=["hour"], numerical={"amount": {"by": "hour"}})
    assert [field.by for field in Schema.load(out).numerical] == ["hour"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calendar": ["day"]}, "calendar: .*: write a list with some of hour"),
        ({"calendar": "hour"}, "calendar: 'hour': write a list"),
        ({"calendar": ALL, "relative_time": True}, "relative_time counts from the first event"),
        ({"calendar": ["month"], "categorical": ["month"]}, "column 'month' is used twice"),
        ({"calendar": ["hour", "hour"]}, "column 'hour' is used twice"),
        ({"calendar": ["hour"], "label": "hour"}, "the label 'hour' is also an input"),
    ],
)
def test_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, _frame(5), **changes)


def test_times_that_are_numbers(tmp_path: Path) -> None:
    frame = _frame(5).assign(when=[0.5, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="weekday from dates, and the times in column 'when' are"):
        _prepare(tmp_path, frame, calendar=["weekday"])


def test_dates_have_no_hour(tmp_path: Path) -> None:
    frame = _frame()
    frame["when"] = frame["when"].str[:10]
    with pytest.raises(ValueError, match="dates without a clock time; take hour out"):
        _prepare(tmp_path, frame, calendar=ALL)
    _prepare(tmp_path / "days", frame, calendar=["weekday", "month"])
