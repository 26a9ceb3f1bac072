"""Up to when histories were observed: every way to say it, every fault, new data."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import encode
from grap_seq.schema import Schema
from tests.prep.helpers import SPEC, rows_of, write_source

EVENTS = """client,when,kind,amount,seen
1,2020-01-01,a,1,2020-01-06
1,2020-01-02 12:00:00,b,2,2020-01-06
2,2020-01-03,a,4,2020-01-03
2,2020-01-03,b,5,2020-01-03
3,2020-01-04,a,6,2020-02-01
"""
LABELS = "client,left,asked\n1,0,2020-01-05\n2,1,2020-01-10\n3,,2020-01-04\n"
# 2020-01-01 in days.
ORIGIN = 18262.0


def _prepare(
    folder: Path,
    events: str = EVENTS,
    labels: str | None = None,
    strict: bool = True,
    given: Any = None,
    **changes: Any,
) -> Manifest:
    if labels is not None:
        changes = {"label": "left", "labels": "labels.csv", **changes}
    source = write_source(folder, events, **changes)
    if labels is not None:
        (folder / "labels.csv").write_text(labels, "utf-8")
    return prepare("table", folder / "out", source=source, strict=strict, until=given)


def _days(folder: Path) -> dict[int, float]:
    """`until` of every sequence, in days since 2020-01-01."""
    return {row["client"]: row["until"] - ORIGIN for row in rows_of(folder)}


@pytest.mark.parametrize(
    ("until", "days"),
    [
        ("2020-01-31", [30, 30, 30]),
        (date(2020, 1, 31), [30, 30, 30]),
        ("2020-01-04 18:00", [3.75, 3.75, 3.75]),
        ("2020-01-04T18:00:00+03:00", [3.625, 3.625, 3.625]),
        ("newest", [3, 3, 3]),
        ("seen", [5, 2, 31]),
    ],
)
def test_a_date_the_newest_event_or_a_column(until: Any, days: list[float], tmp_path: Path) -> None:
    _prepare(tmp_path, until=until)
    assert _days(tmp_path / "out") == dict(zip([1, 2, 3], days, strict=True))
    assert Schema.load(tmp_path / "out").until
    validate(tmp_path / "out")


def test_a_column_of_the_label_file(tmp_path: Path) -> None:
    _prepare(tmp_path, labels=LABELS, until="asked")
    assert _days(tmp_path / "out") == {1: 4, 2: 9, 3: 3}


def test_the_label_file_comes_before_the_events(tmp_path: Path) -> None:
    _prepare(tmp_path, labels=LABELS.replace("asked", "seen"), until="seen")
    assert _days(tmp_path / "out") == {1: 4, 2: 9, 3: 3}


def test_times_that_count_from_the_first_event(tmp_path: Path) -> None:
    _prepare(tmp_path, until="seen", relative_time=True)
    assert {row["client"]: row["until"] for row in rows_of(tmp_path / "out")} == {1: 5, 2: 0, 3: 28}


def test_numbers_and_formats(tmp_path: Path) -> None:
    _prepare(tmp_path / "number", "client,when,kind,amount\n1,0,a,1\n1,1.5,b,3\n2,2,a,5\n", until=7)
    assert {row["until"] for row in rows_of(tmp_path / "number" / "out")} == {7.0}
    lines = "client,when,kind,amount\n1,02.01.2020,a,1\n2,01.02.2020,a,5\n"
    for until in ("01.03.2020", "2020-03-01"):
        _prepare(tmp_path / until, lines, until=until, time_format="%d.%m.%Y")
        assert {row["until"] for row in rows_of(tmp_path / until / "out")} == {ORIGIN + 60}


def test_of_several_labels_each_is_asked_at_its_own_time(tmp_path: Path) -> None:
    labels = LABELS + "1,1,2020-01-02\n"
    several: dict[str, Any] = {"label_time": "asked", "local_labels": True, "until": "2020-02-01"}
    _prepare(tmp_path, labels=labels, **several)
    validate(tmp_path / "out")
    found = {row["client"]: row for row in rows_of(tmp_path / "out")}
    assert [row["until"] - ORIGIN for row in found.values()] == [31, 31, 31]
    assert found[1]["label_position"] == [0, 1]
    assert [until - ORIGIN for until in found[1]["label_until"]] == [1, 4]
    assert found[3]["label_until"] is None


def test_without_until_nothing_changes(tmp_path: Path) -> None:
    _prepare(tmp_path)
    assert list(rows_of(tmp_path / "out")[0]) == ["client", "event_time", "kind", "amount", "label"]
    assert "until" not in Schema.load(tmp_path / "out").to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"until": "2020-01-02"},
            r"row 2: event after the date in until: 2020-01-02: '1' \(the fi",
        ),
        (
            {"until": "sen"},
            "until names a column 'sen', which neither the events nor a label file",
        ),
        ({"until": 7}, "until is 7, and the times in column 'when' are dates; give a date"),
        ({"until": True}, "until: True: write a date"),
        ({"until": "kind"}, "until 'kind' is also the id, the time, the label or a field"),
        ({"until": "amnt", "numerical": ["amount"]}, "until names a column 'amnt'"),
    ],
)
def test_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, **changes)


def test_a_date_where_times_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are numbers; give a number like them"):
        _prepare(tmp_path, "client,when,kind,amount\n1,0,a,1\n2,2,a,5\n", until="2020-01-01")


# What is wrong with an event or label file; which events are left out with strict=false.
FAULTS = [
    (
        EVENTS.replace("a,6,2020-02-01", "a,6,"),
        "event of an id without a date in column 'seen': '3'",
        1,
    ),
    (
        EVENTS.replace("b,2,2020-01-06", "b,2,2020-01-02"),
        "several values in column 'seen' for one id",
        2,
    ),
    (EVENTS.replace("a,6,2020-02-01", "a,6,soon"), "unreadable cell in column 'seen': 'soon'", 1),
    (EVENTS.replace("2020-02-01", "2020-01-03"), "event after the date in column 'seen': '3'", 1),
]


@pytest.mark.parametrize(("events", "message", "count"), FAULTS)
def test_faults_of_a_column(events: str, message: str, count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, events, until="seen")
    manifest = _prepare(tmp_path, events, strict=False, until="seen")
    kept = sum(split["events"] for split in manifest.splits.values())
    assert kept == 5 - count
    assert sum(manifest.dropped.values()) >= count


def test_an_id_without_a_row_in_the_label_file(tmp_path: Path) -> None:
    labels = LABELS.replace("3,,2020-01-04\n", "")
    with pytest.raises(ValueError, match="event of an id without a date in column 'asked': '3'"):
        _prepare(tmp_path, labels=labels, until="asked")


def test_later_events_can_be_left_out(tmp_path: Path) -> None:
    manifest = _prepare(tmp_path, strict=False, until="2020-01-03")
    assert manifest.dropped == {"event after the date in until: 2020-01-03": 1}
    assert _days(tmp_path / "out") == {1: 2, 2: 2}


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"client": [7, 7, 8], "when": pd.to_datetime(["2021-01-01", "2021-01-03", "2021-01-02"])}
    ).assign(kind="a", amount=1.0)


@pytest.mark.parametrize(
    ("stored", "given", "days"),
    [
        ("newest", None, [368, 368]),
        ("newest", "2021-02-01", [397, 397]),
        ("2020-02-01", date(2021, 2, 1), [397, 397]),
        ("seen", "newest", [368, 368]),
        ("2022-01-01", None, [731, 731]),
        ("newest", "last", [400, 390]),
    ],
)
def test_new_data(stored: str, given: Any, days: list[float], tmp_path: Path) -> None:
    _prepare(tmp_path, until=stored)
    frame = _frame()
    ends = {7: "2021-02-04", 8: "2021-01-25"}
    frame["last"] = pd.to_datetime(frame["client"].map(ends))
    coded = encode(frame, tmp_path / "out", given)
    assert [until - ORIGIN for until in coded["until"].to_pylist()] == days
    frame.to_parquet(tmp_path / "new.parquet")
    text = given.isoformat() if isinstance(given, date) else given
    source, like = tmp_path / "new.parquet", tmp_path / "out"
    prepare("table", tmp_path / "new", source=source, like=like, until=text)
    assert rows_of(tmp_path / "new", "test") == [
        {**row, "label": None} for row in coded.to_pylist()
    ]
    assert Schema.load(tmp_path / "new").hash == Schema.load(tmp_path / "out").hash


def test_new_data_after_the_stored_date_need_another(tmp_path: Path) -> None:
    _prepare(tmp_path, until="2020-02-01")
    with pytest.raises(ValueError, match=r"event after the date in until: 2020-02-01: '7'.*until="):
        encode(_frame(), tmp_path / "out")
    _prepare(tmp_path / "column", until="seen")
    with pytest.raises(ValueError, match=r"names a column 'seen', which neither.*give until="):
        encode(_frame(), tmp_path / "column" / "out")


def test_new_data_of_a_model_without(tmp_path: Path) -> None:
    _prepare(tmp_path)
    with pytest.raises(ValueError, match="had no 'until' when the model was made"):
        encode(_frame(), tmp_path / "out", "newest")
    # A description that has learned one since is of no use to the model.
    source = write_source(tmp_path / "new", EVENTS, until="newest")
    prepare("table", tmp_path / "new" / "out", source=source, like=tmp_path / "out")
    assert "until" not in rows_of(tmp_path / "new" / "out", "test")[0]


def test_relative_times_of_new_data(tmp_path: Path) -> None:
    _prepare(tmp_path, until="newest", relative_time=True)
    assert encode(_frame(), tmp_path / "out")["until"].to_pylist() == [2, 1]


def test_a_description_reads_its_own_words() -> None:
    spec = DatasetSpec.from_dict({**SPEC, "until": date(2020, 1, 31)})
    assert spec.until == "2020-01-31"
    assert DatasetSpec.from_dict(spec.to_dict()) == spec
