"""Labels with a time: events that they forbid, several of them a sequence, every kind of fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.validate import validate
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import read_events
from grap_seq.schema import Schema
from tests.prep.helpers import SPEC, rows_of, write_source

EVENTS = """client,when,kind,amount
1,2020-01-01,a,1
1,2020-01-02 12:00:00,b,2
1,2020-01-05,a,3
2,2020-01-03,a,4
2,2020-01-03,b,5
3,2020-01-04,a,6
4,2020-01-04,a,7
"""
LABELS = "client,churned,asked\n1,0,2020-01-06\n2,1,2020-01-04\n3,1,2020-01-05\n"
ONE: dict[str, Any] = {"label": "churned", "labels": "labels.csv", "label_time": "asked"}
SEVERAL: dict[str, Any] = {**ONE, "local_labels": True}


def _prepare(folder: Path, table: str, strict: bool = True, **changes: Any) -> dict[str, int]:
    source = write_source(folder, EVENTS, **changes)
    (folder / "labels.csv").write_text(table, "utf-8")
    return prepare("table", folder / "out", source=source, strict=strict).dropped


def test_events_before_the_label_are_all_kept(tmp_path: Path) -> None:
    assert _prepare(tmp_path, LABELS, **ONE) == {}
    found = {row["client"]: (len(row["kind"]), row["label"]) for row in rows_of(tmp_path / "out")}
    assert found == {1: (3, 0), 2: (2, 1), 3: (1, 1), 4: (1, None)}


# The second event of client 1 happens at the very moment of the label.
LATE = LABELS.replace("2020-01-06", "2020-01-02 12:00:00")


def test_an_event_after_the_label_is_named(tmp_path: Path) -> None:
    message = r"events\.csv, row 2: event at or after.*'asked'.*; .* write after_label: drop in the"
    for said in (ONE, {**ONE, "after_label": "error"}):
        with pytest.raises(ValueError, match=message):
            _prepare(tmp_path, LATE, **said)


@pytest.mark.parametrize(("strict", "said"), [(False, "error"), (True, "drop"), (False, "drop")])
def test_events_after_the_label_are_dropped_and_counted(
    tmp_path: Path, strict: bool, said: str
) -> None:
    dropped = _prepare(tmp_path, LATE, strict=strict, **{**ONE, "after_label": said})
    assert dropped == {"event at or after the label's time in column 'asked'": 2}
    assert [len(row["kind"]) for row in rows_of(tmp_path / "out")] == [1, 2, 1, 1]


def test_dropping_after_the_label_forgives_nothing_else(tmp_path: Path) -> None:
    events = EVENTS.replace("1,2020-01-05,a,3", "1,2020-01-05,a,x")
    source = write_source(tmp_path, events, after_label="drop", **ONE)
    (tmp_path / "labels.csv").write_text(LABELS)
    with pytest.raises(ValueError, match="no finite number in column 'amount': 'x'"):
        prepare("table", tmp_path / "out", source=source)


@pytest.mark.parametrize("change", [{"label_time": None}, {"local_labels": True}])
def test_after_label_is_of_one_label_with_a_time(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="after_label leaves out events from the time of a seq"):
        DatasetSpec.from_dict({**SPEC, **ONE, "after_label": "drop", **change})


def test_a_sequence_without_an_event_before_its_label_is_gone(tmp_path: Path) -> None:
    labels = LABELS.replace("3,1,2020-01-05", "3,1,2020-01-01")
    dropped = _prepare(tmp_path, labels, strict=False, **ONE)
    assert dropped == {
        "event at or after the label's time in column 'asked'": 1,
        "label without events": 1,
    }
    assert [row["client"] for row in rows_of(tmp_path / "out")] == [1, 2, 4]


def test_label_and_time_as_columns_of_the_events(tmp_path: Path) -> None:
    lines = EVENTS.splitlines()
    times = ["asked,churned", *["2020-01-05,0"] * 3, *["2020-01-04,1"] * 2, *["2020-01-05,1"] * 2]
    table = "\n".join(f"{line},{more}" for line, more in zip(lines, times, strict=True))
    changes = {"label": "churned", "label_time": "asked"}
    source = write_source(tmp_path, table + "\n", **changes)
    with pytest.raises(ValueError, match=r"events\.csv, row 3: event at or after the label's time"):
        prepare("table", tmp_path / "out", source=source)
    manifest = prepare("table", tmp_path / "out", source=source, strict=False)
    assert manifest.dropped == {"event at or after the label's time in column 'asked'": 1}
    write_source(tmp_path, table + "\n", **changes, local_labels=True)
    prepare("table", tmp_path / "several", source=source)
    found = {row["client"]: row["label_position"] for row in rows_of(tmp_path / "several")}
    assert found == {1: [1], 2: [1], 3: [0], 4: [0]}


MANY = """client,churned,asked
1,1,2020-01-10
1,0,2020-01-01
1,1,2020-01-02 12:00:00
1,0,2020-01-02 12:00:01
1,,2020-01-03
2,1,2020-01-03
2,0,2020-01-03 00:00:01
3,0,2020-01-05
3,0,2020-01-05
"""


@pytest.mark.parametrize("relative", [False, True])
def test_several_labels_belong_to_the_last_event_before_them(
    tmp_path: Path, relative: bool
) -> None:
    dropped = _prepare(tmp_path, MANY, relative_time=relative, **SEVERAL)
    # At the first event's own moment nothing is known yet: once for client 1, once for client 2.
    assert dropped == {"label before the sequence's first event": 2}
    found = {r["client"]: (r["label"], r["label_position"]) for r in rows_of(tmp_path / "out")}
    assert found == {1: ([1, 0, 1], [0, 1, 2]), 2: ([0], [1]), 3: ([0], [0]), 4: (None, None)}
    schema = Schema.load(tmp_path / "out")
    assert schema.local_labels
    splits = validate(tmp_path / "out").splits
    assert splits["train"] == {
        "sequences": 4,
        "events": 7,
        "labelled": 3,
        "classes": {"0": 3, "1": 2},
    }
    events = read_events("table", tmp_path / "events.csv")
    assert len(events) == 7
    assert "churned" not in events


FAULTS = {
    "no time": ("2,1,", r"labels\.csv, row 10: label without time in column 'asked'"),
    "unreadable": ("2,1,soon", r"row 10: unreadable time in column 'asked': 'soon'"),
    "conflict": ("1,0,2020-01-10", r"row 1: conflicting labels of an id at one time: '1'"),
    "no events": ("9,0,2020-01-10", r"row 10: label without events: '9'"),
    "no id": (",0,2020-01-10", r"row 10: label without id"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_label_is_named_or_counted(fault: str, tmp_path: Path) -> None:
    line, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, f"{MANY}{line}\n", **SEVERAL)
    dropped = _prepare(tmp_path, f"{MANY}{line}\n", strict=False, **SEVERAL)
    assert sum(dropped.values()) == (4 if fault == "conflict" else 3)
    rows = rows_of(tmp_path / "out")
    assert rows[0]["label_position"] == ([0, 1] if fault == "conflict" else [0, 1, 2])
    assert [row["label"] for row in rows[1:]] == [[0], [0], None]


def test_times_of_another_kind_are_refused(tmp_path: Path) -> None:
    labels = "client,churned,asked\n1,0,18\n2,1,19\n"
    with pytest.raises(ValueError, match="'asked' is a number, the events' 'when' is a timestamp"):
        _prepare(tmp_path, labels, **SEVERAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_time": "asked"}, "'label_time' needs a label"),
        ({"label": "churned", "local_labels": True}, "column with the time of each"),
        ({"label": "churned", "label_time": "when"}, "also the label or an input column"),
        ({"label": "churned", "label_time": "amount"}, "also the label or an input column"),
        ({**SEVERAL, "local_labels": "yes"}, r"local_labels: .*: write true or false"),
        ({"categorical": ["label_position"]}, "preparation uses itself"),
    ],
)
def test_contradictions_in_the_description(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_dict({**SPEC, **changes})
