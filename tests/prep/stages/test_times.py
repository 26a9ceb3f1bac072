"""Times written as numbers, against pandas' own reading of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.suggest import suggest
from grap_seq.prep.prepare import prepare
from grap_seq.prep.stages.times import as_time, check_numbers
from tests.prep.helpers import SPEC, rows_of
from tests.prep.stages.test_clean import CONNECTION, _column, _list

MOMENTS = pd.to_datetime(
    ["2021-03-05 07:08:09.250001", "2024-02-29 23:59:59.999999", "2009-12-31", "1999-01-02 03:04"],
    format="ISO8601",
)
# Nanoseconds since 1970.
COUNTS = MOMENTS.to_numpy().astype("datetime64[ns]").astype(np.int64)
UNITS = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}


def _spec(time_format: str, unit: str = "day") -> DatasetSpec:
    return DatasetSpec.from_dict({**SPEC, "time_format": time_format, "time_unit": unit})


@pytest.mark.parametrize("name", UNITS)
def test_counts_since_1970(name: str) -> None:
    counts = COUNTS // UNITS[name]
    expected = (counts * UNITS[name] // 1000) / 86_400_000_000
    for values in (pa.array(counts), pa.array(counts.astype(float)), pa.array(counts.astype(str))):
        found = _list(as_time(_column(values), _spec(name), "timestamp"))
        # A microsecond, which is what float64 makes of nanoseconds.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1.01 / 86_400_000_000)
    cells = pa.array(["", None, "soon", "1e300", "1.5"])
    found = _list(as_time(_column(cells), _spec("epoch_s", "second"), "timestamp"))
    assert found[:2] == [None, None]
    assert [math.isnan(value) for value in found[2:4]] == [True, True]
    assert found[4] == 1.5


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y%m", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%d%m%Y"])
def test_dates_written_as_one_number(form: str) -> None:
    texts = MOMENTS.strftime(form)
    expected = pd.to_datetime(texts, format=form).to_numpy().astype("datetime64[us]").astype(int)
    numbers = texts.astype(np.int64)
    for values in (pa.array(numbers), pa.array(numbers.astype(float)), pa.array(texts)):
        found = _list(as_time(_column(values), _spec(form), "timestamp"))
        assert found == (expected / 86_400_000_000).tolist()


def test_a_number_that_is_no_date() -> None:
    values = pa.array([20240230.0, 2024011.0, 202401011.0, math.nan, None])
    found = _list(as_time(_column(values), _spec("%Y%m%d"), "timestamp"))
    assert all(math.isnan(value) for value in found[:4])
    assert found[4] is None


LOOKS = {
    "dates": (MOMENTS.strftime("%Y%m%d").astype(int), "day", "20210305, which look like dates"),
    "months": (MOMENTS.strftime("%Y%m").astype(int), "day", "time_format: '%Y%m' in the desc"),
    "seconds": (COUNTS // 10**9, "day", "seconds since 1970; as they are, they would count days"),
    "milliseconds": (COUNTS // 10**6, "second", "Write time_format: 'epoch_ms'"),
    "microseconds": (COUNTS // 10**3, "second", "Write time_format: 'epoch_us'"),
    "nanoseconds": (COUNTS, "hour", "Write time_format: 'epoch_ns'"),
}


@pytest.mark.parametrize("case", LOOKS)
@pytest.mark.parametrize("text", [False, True])
def test_numbers_that_count_something_else_are_refused(
    case: str, text: bool, tmp_path: Path
) -> None:
    numbers, unit, message = LOOKS[case]
    source = _write(tmp_path, numbers, text, time_unit=unit)
    with pytest.raises(ValueError, match=rf"events.*the times in column 'when'.*{message}"):
        prepare("table", tmp_path / "out", source=source, strict=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("numbers", "unit"),
    [
        (COUNTS // 10**9, "second"),
        ([20240131, 20240132], "day"),
        ([20240131, 7], "day"),
        ([1, 2], "day"),
        ([math.nan, None], "day"),
        ([math.inf, 1.5], "day"),
    ],
)
def test_numbers_that_may_be_counts_are_not(numbers: Any, unit: str) -> None:
    table = _column(pa.array(numbers)).as_table()
    check_numbers(CONNECTION, table, DatasetSpec.from_dict({**SPEC, "time_unit": unit}), "x")


@pytest.mark.parametrize("text", [False, True])
def test_dates_as_integers_are_prepared_as_dates(tmp_path: Path, text: bool) -> None:
    dates = pd.to_datetime(["2024-01-31", "2024-02-01", "2024-03-01", "2024-02-29"])
    numbers = dates.strftime("%Y%m%d").astype(int)
    source = _write(tmp_path, numbers, text, time_format="%Y%m%d", calendar=["month"])
    prepare("table", tmp_path / "out", source=source)
    rows = rows_of(tmp_path / "out")
    first, _, _ = (row["event_time"] for row in rows)
    assert first == [19753.0, 19754.0]
    assert rows[0]["month"] == [1, 2]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("name", [*UNITS, "%Y%m%d"])
def test_suggested_for_numbers(tmp_path: Path, name: str, text: bool) -> None:
    moments = pd.date_range("2023-01-01", periods=120, freq="D")
    counts = moments.to_numpy().astype("datetime64[ns]").astype(np.int64)
    numbers = moments.strftime(name).astype(int) if "%" in name else counts // UNITS[name]
    table = pd.DataFrame({"user": np.arange(120) % 7, "ts": numbers, "page": ["a", "b"] * 60})
    source = tmp_path / ("t.csv" if text else "t.parquet")
    table.to_csv(source, index=False) if text else table.to_parquet(source)
    spec = DatasetSpec.load(suggest(source))
    assert (spec.id, spec.time, spec.time_format, spec.time_unit) == ("user", "ts", name, "day")
    prepare("table", tmp_path / "out", source=source)
    first = min(time for row in rows_of(tmp_path / "out") for time in row["event_time"])
    assert first < 19363 + 7


@pytest.mark.parametrize("days", [3000, 4000])
def test_a_median_gap_of_more_than_ten_years_is_a_warning(tmp_path: Path, days: int) -> None:
    # Zeros, and the distance between two clients, are no gaps.
    source = _write(tmp_path, [10**9, 10**9 + days, 0, 0], False, time_unit="day")
    manifest = prepare("table", tmp_path / "out", source=source)
    doubt = f"between events is {days / 365.25:,.0f} years; time_unit: day in the description"
    assert [doubt in text for text in manifest.warnings] == ([True] if days == 4000 else [])


def _write(folder: Path, numbers: Any, text: bool, **changes: Any) -> Path:
    table = pd.DataFrame(
        {"client": [1, 1, 2, 3], "when": numbers, "kind": list("abab"), "amount": 1.0}
    )
    source = folder / ("events.csv" if text else "events.parquet")
    table.to_csv(source, index=False) if text else table.to_parquet(source)
    (folder / "events.yaml").write_text(yaml.safe_dump({**SPEC, **changes}))
    return source
