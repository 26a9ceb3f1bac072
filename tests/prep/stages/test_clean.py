"""Canonical columns against Python's own reading of numbers and dates."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.stages.cells import as_number, as_text
from grap_seq.prep.stages.times import as_time, time_kind

CONNECTION = connect(threads=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def _column(values: Any) -> Any:
    return ibis.memtable(pa.table({"when": values}))["when"]


def _spec(unit: str = "day", time_format: str | None = None) -> DatasetSpec:
    content = {"name": "n", "id": "i", "time": "when", "categorical": ["k"], "time_unit": unit}
    return DatasetSpec.from_dict({**content, "time_format": time_format})


def _list(expression: Any) -> list[Any]:
    found = CONNECTION.to_pyarrow(expression.name("x").as_table())
    return list(found["x"].to_pylist())


@pytest.mark.parametrize(
    "same",
    [
        [
            pa.array([7, -3]),
            pa.array([7.0, -3.0]),
            pa.array(["7", "-3"]),
            pa.array(["7.0", "-3.00"]),
        ],
        [pa.array([True, False]), pa.array(["True", "FALSE"])],
        [pa.array([None, 1.5]), pa.array([float("nan"), 1.5]), pa.array(["", "1.5"])],
    ],
)
def test_text_does_not_depend_on_how_the_source_kept_it(same: list[pa.Array]) -> None:
    texts = [_list(as_text(_column(values))) for values in same]
    assert texts[0][1] in ("-3", "false", "1.5")
    assert all(text == texts[0] for text in texts)


def test_text_keeps_leading_zeros_and_long_numbers() -> None:
    values = ["007", "4.10", "10", "12345678901234567890", "1.0e3"]
    assert _list(as_text(_column(values))) == values
    assert _list(as_text(_column(pa.array([1e300, 2.0**60])))) == ["1e+300", str(2**60)]


def test_numbers() -> None:
    texts = ["1", " 2.5 ", "-1e3", "", "abc", "1,5", "inf", "NaN", None]
    found = _list(as_number(_column(texts), "x"))
    assert found[:4] == [1.0, 2.5, -1000.0, None]
    assert all(math.isnan(value) for value in found[4:8])
    assert found[8] is None
    floats = _list(as_number(_column([1.0, -0.0, math.inf, math.nan, None]), "x"))
    assert math.copysign(1, floats[1]) == 1.0
    assert math.isnan(floats[2])
    assert math.isnan(floats[3])
    assert floats[4] is None
    assert _list(as_number(_column([True, None]), "x")) == [1.0, None]
    with pytest.raises(ValueError, match="list it as categorical"):
        as_number(_column([dt.date(2020, 1, 1)]), "when")


@pytest.mark.parametrize(("unit", "seconds"), [("second", 1), ("hour", 3600), ("week", 604800)])
def test_times_are_units_since_1970(unit: str, seconds: int) -> None:
    moments = [
        dt.datetime(2024, 2, 29, 13, 5, 59, 250_000, dt.timezone.utc),
        dt.datetime(1969, 12, 31, 23, 59, 59, 500_000, dt.timezone.utc),
        dt.datetime(2021, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=3))),
    ]
    expected = [(moment - EPOCH).total_seconds() / seconds for moment in moments]
    spec = _spec(unit)
    naive = pd.Series(moments[:2]).dt.tz_localize(None)
    for values in (
        pa.array(moments, pa.timestamp("us", "UTC")),
        pa.array(naive, pa.timestamp("ns")),
        pa.array([moment.isoformat() for moment in moments]),
        pa.array([moment.isoformat(" ") for moment in moments]),
    ):
        found = _list(as_time(_column(values), spec, "timestamp"))
        assert found == pytest.approx(expected[: len(values)], rel=1e-15)


def test_dates_formats_and_what_is_no_time() -> None:
    day = (dt.datetime(2017, 10, 21, tzinfo=dt.timezone.utc) - EPOCH).days
    assert _list(as_time(_column([dt.date(2017, 10, 21)]), _spec(), "timestamp")) == [day]
    texts = ["21OCT17:18:00:00", "21.10.2017", "", None]
    found = _list(as_time(_column(texts), _spec(time_format="%d%b%y:%H:%M:%S"), "timestamp"))
    assert found[0] == day + 0.75
    assert math.isnan(found[1])
    assert found[2:] == [None, None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["17", "", "18.5"], "number"),
        (["2020-01-01", "2020-01-02 10:00"], "timestamp"),
        ([3, 4], "number"),
        ([dt.date(2020, 1, 1)], "timestamp"),
    ],
)
def test_kind_of_time_column(values: list[Any], kind: str) -> None:
    table = ibis.memtable(pa.table({"when": values}))
    assert time_kind(CONNECTION, table, _spec()) == kind
    with pytest.raises(ValueError, match="time column 'when' has type boolean"):
        time_kind(CONNECTION, ibis.memtable(pa.table({"when": [True]})), _spec())
