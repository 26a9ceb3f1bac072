"""Every kind of bad input: named by file, row and column, or dropped and counted on request."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import GOOD, content_of, rows_of, write_source

HEADER = "client,when,kind,amount\n"
LABELLED = {"label": "y", "labels": "labels.csv"}
LABELS = "client,y\n1,a\n2,b\n"

BAD_ROWS = {
    "null id": (
        HEADER + "1,0,a,1\n,1,a,1\n2,0,a,1\n",
        r"events\.csv, row 2: no id in column 'client'; fix it or pass strict=false",
        "no id in column 'client'",
        2,
    ),
    "null time": (
        HEADER + "1,0,a,1\n1,,a,1\n2,0,a,1\n",
        r"events\.csv, row 2: no time in column 'when'",
        "no time in column 'when'",
        2,
    ),
    "unreadable time": (
        HEADER + "1,0,a,1\n2,0,a,1\n2,soon,a,1\n",
        r"events\.csv, row 3: unreadable time in column 'when': 'soon'; `time_format` in the",
        "unreadable time in column 'when'",
        2,
    ),
    "decimal comma": (
        HEADER + '1,0,a,1\n2,0,a,"7,5"\n2,1,a,1\n',
        r"events\.csv, row 2: .* 'amount': '7,5'; where .* write decimal: \",\" in the",
        "no finite number in column 'amount'",
        3,
    ),
    "no number": (
        HEADER + "1,0,a,1\n2,0,a,'7'\n2,1,a,1\n",
        r"""events\.csv, row 2: no finite number in column 'amount': "'7'\"""",
        "no finite number in column 'amount'",
        3,
    ),
    "NaN": (
        HEADER + "1,0,a,1\n2,0,a,nan\n2,1,a,1\n",
        r"events\.csv, row 2: no finite .* 'amount': 'nan'; .* write na_values: \[nan\] in the",
        "no finite number in column 'amount'",
        3,
    ),
    "infinite": (
        HEADER + "1,0,a,-inf\n2,0,a,1\n2,1,a,1\n",
        r"events\.csv, row 1: no finite number in column 'amount': '-inf'",
        "no finite number in column 'amount'",
        3,
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_is_named_or_counted(tmp_path: Path, case: str) -> None:
    csv, message, reason, events = BAD_ROWS[case]
    source, output = write_source(tmp_path, csv), tmp_path / "out"
    with pytest.raises(ValueError, match=message):
        prepare("table", output, source=source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.csv", "events.yaml"]
    manifest = prepare("table", output, source=source, strict=False)
    assert manifest.dropped == {reason: 1}
    assert manifest.splits["train"]["events"] == events


def test_unreadable_number_counts_as_missing(tmp_path: Path) -> None:
    source = write_source(tmp_path, HEADER + "1,0,a,1\n1,1,a,inf\n2,0,a,3\n")
    prepare("table", tmp_path / "out", source=source, strict=False)
    first = rows_of(tmp_path / "out")[0]["amount"]
    assert first[0] == -1.0
    assert math.isnan(first[1])


def test_empty_cells_are_ordinary_missing_values(tmp_path: Path) -> None:
    source = write_source(tmp_path, HEADER + '1,0,,\n1,1,a,3\n2,0,"",5\n')
    manifest = prepare("table", tmp_path / "out", source=source)
    assert manifest.dropped == {}
    first = rows_of(tmp_path / "out")[0]
    assert first["kind"] == [1, 2]
    assert math.isnan(first["amount"][0])


FOREIGN = (
    "client;when;kind;amount;spent;age\n"
    "1;0;a;1,5;7,25;40\n1;1,5;NA;-;7,25;40\n2;0;b;-1e1;-;NA\n3; 0 ; - ;,5;1;30,5\n"
)


def test_cells_that_mean_a_missing_value_and_decimal_commas(tmp_path: Path) -> None:
    """The same sequences as from the table written as we like it, labels and facts too."""
    changes = {"static": {"numerical": ["age"]}, "label": "spent", "metric": "mae"}
    foreign = write_source(tmp_path / "a", FOREIGN, na_values=["NA", "-"], decimal=",", **changes)
    plain = FOREIGN.replace("NA", "").replace(" - ", "").replace(";-;", ";;").replace(";-\n", ";\n")
    plain = plain.replace("-1e1;-", "-1e1;").replace(",", ".").replace(";", ",")
    ours = write_source(tmp_path / "b", plain, **changes)
    for source in (foreign, ours):
        manifest = prepare("table", source.parent / "out", source=source)
        assert manifest.splits["train"] | {"classes": {}} == {
            **{"sequences": 3, "events": 4, "labelled": 2, "classes": {}}
        }
    written = [content_of(source.parent / "out" / "train") for source in (foreign, ours)]
    assert written[0] == written[1]
    assert State.load(foreign.parent / "out").categorical["kind"] == (None, "a", "b")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("-", r"'-'; where that means missing, write na_values: \['-'\] in the"),
        ("N/A", r"'N/A'; .* write na_values: \[N/A\] in the"),
        ("\\N", r"write na_values: \[\\N\] in the"),
        ('"1.234,5"', r"'1\.234,5'; numbers are written as 1234\.5, and a missing one is an empty"),
    ],
)
def test_what_to_write_about_a_cell(tmp_path: Path, cell: str, message: str) -> None:
    source = write_source(tmp_path, f"{HEADER}1,0,a,{cell}\n2,0,a,1\n2,1,a,1\n")
    with pytest.raises(ValueError, match=rf"events\.csv, row 1: .*{message}"):
        prepare("table", tmp_path / "out", source=source)


def test_a_point_is_no_decimal_sign_where_the_comma_is(tmp_path: Path) -> None:
    """1.500 is fifteen hundred there."""
    source = write_source(
        tmp_path, 'client,when,kind,amount\n1,0,a,1.500\n2,0,a,"1,5"\n', decimal=","
    )
    with pytest.raises(ValueError, match=r"row 1: no finite number in column 'amount': '1\.500'"):
        prepare("table", tmp_path / "out", source=source)


def test_row_is_counted_within_its_part(tmp_path: Path) -> None:
    source = write_source(tmp_path)
    parts = tmp_path / "events"
    parts.mkdir()
    source.rename(parts / "a.csv")
    (parts / "b.csv.gz").write_bytes(gzip.compress((HEADER + "4,0,a,1\n4,never,a,1\n").encode()))
    spec = tmp_path / "events.yaml"
    with pytest.raises(ValueError, match=r"b\.csv\.gz, row 2: unreadable time"):
        prepare("table", tmp_path / "out", source=parts, spec=spec)


def test_nan_in_parquet_is_named(tmp_path: Path) -> None:
    write_source(tmp_path)
    table = pa.table(
        {"client": [1, 2], "when": [0.0, 1.0], "kind": ["a", "a"], "amount": [1.0, math.nan]}
    )
    pq.write_table(table, tmp_path / "events.parquet")
    # Its minimum and maximum in the file are 1.0: an engine that trusts them sees no NaN.
    with pytest.raises(ValueError, match=r"events\.parquet, row 2: no finite .* 'nan'; .*\[nan\]"):
        prepare("table", tmp_path / "out", source=tmp_path / "events.parquet")
    write_source(tmp_path, na_values=["nan"])
    manifest = prepare("table", tmp_path / "out", source=tmp_path / "events.parquet")
    assert manifest.dropped == {}
    assert math.isnan(rows_of(tmp_path / "out")[1]["amount"][0])


BAD_LABELS = {
    "label without events": (
        "client,y\n1,a\n9,a\n2,b\n",
        r"labels\.csv, row 2: label without events: '9'",
        "label without events",
        1,
    ),
    "label without id": (
        "client,y\n,a\n1,a\n2,b\n",
        r"labels\.csv, row 1: label without id",
        "label without id",
        1,
    ),
    "conflicting labels": (
        "client,y\n1,a\n3,a\n2,b\n3,b\n",
        r"labels\.csv, row 2: conflicting labels of an id: '3'",
        "conflicting labels of an id",
        2,
    ),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_label_is_named_or_dropped(tmp_path: Path, case: str) -> None:
    labels, message, reason, count = BAD_LABELS[case]
    source = write_source(tmp_path, **LABELLED)
    (tmp_path / "labels.csv").write_text(labels, "utf-8")
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=source)
    manifest = prepare("table", tmp_path / "out", source=source, strict=False)
    assert manifest.dropped == {reason: count}
    assert [row["label"] for row in rows_of(tmp_path / "out")] == [0, 1, None]


def test_label_column_must_be_constant_within_an_id(tmp_path: Path) -> None:
    csv = "client,when,kind,amount,y\n1,0,a,1,n\n2,0,a,1,y\n3,0,a,1,y\n3,1,a,1,n\n"
    source = write_source(tmp_path, csv, label="y")
    with pytest.raises(ValueError, match=r"events\.csv, row 3: conflicting labels of an id: '3'"):
        prepare("table", tmp_path / "out", source=source)


BAD_TABLES: dict[str, tuple[str, dict[str, Any], str | None, str]] = {
    "no events": (HEADER, {}, None, "the table has no events"),
    "one sequence": (HEADER + "1,0,a,1\n1,1,b,2\n", {}, None, "one sequence only"),
    "missing column": (
        GOOD,
        {"categorical": ["kinds"]},
        None,
        r"events\.csv: no column 'kinds'; did you mean 'kind'",
    ),
    "missing label column": (GOOD, {"label": "y"}, None, r"have no column 'y'"),
    "missing column in the label file": (
        GOOD,
        LABELLED,
        "client,why\n1,a\n",
        r"labels\.csv: no column 'y'; did you mean 'why'",
    ),
    "no label matches": (
        GOOD,
        LABELLED,
        "client,y\nc1,a\nc2,b\n",
        r"no label belongs to an id of the events; labels have ids like 'c1', 'c2', events '1'",
    ),
    "constant label": (GOOD, LABELLED, "client,y\n1,a\n2,a\n", r"1 different values \(a\)"),
    "unknown split": (
        GOOD,
        LABELLED,
        "client,y,split\n1,a,train\n2,b,tests\n",
        r"split 'tests' of id '2'; write train, val, test",
    ),
    "class missing in training": (
        GOOD,
        LABELLED,
        "client,y,split\n1,a,train\n2,b,test\n3,a,train\n",
        r"no train sequence has the label 'b'",
    ),
    "nothing to train on": (
        GOOD,
        LABELLED,
        "client,y,split\n1,a,val\n2,b,test\n3,a,val\n",
        r"no sequence falls into the training split",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_unusable_table_is_refused(tmp_path: Path, case: str) -> None:
    csv, changes, labels, message = BAD_TABLES[case]
    source = write_source(tmp_path, csv, **changes)
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels, "utf-8")
    # No leniency helps here, so the lenient mode has to refuse it as well.
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=source, strict=False)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_class_missing_from_validation_is_a_warning(tmp_path: Path) -> None:
    source = write_source(tmp_path, GOOD + "4,0,a,1\n", **LABELLED)
    (tmp_path / "labels.csv").write_text(
        "client,y,split\n1,a,train\n2,b,train\n3,a,val\n4,,test\n", "utf-8"
    )
    manifest = prepare("table", tmp_path / "out", source=source)
    assert any("no val sequence has the label 'b'" in text for text in manifest.warnings)
    assert manifest.splits["test"]["labelled"] == 0


UNIQUE = HEADER + "1,0,a,1\n2,0,a,1\n1,0,a,2\n2,0.0,a,1\n2,0,a,1\n2,0,a,\n2,0,a,\n"


def test_repeated_events_are_two_events_unless_the_table_is_said_to_be_unique(
    tmp_path: Path,
) -> None:
    source = write_source(tmp_path, UNIQUE)
    manifest = prepare("table", tmp_path / "kept", source=source)
    assert manifest.splits["train"]["events"] == 7
    source = write_source(tmp_path, UNIQUE, unique=True)
    with pytest.raises(ValueError, match=r"events\.csv, row 4: repeated event: '2'"):
        prepare("table", tmp_path / "out", source=source)
    manifest = prepare("table", tmp_path / "out", source=source, strict=False)
    assert manifest.dropped == {"repeated event": 3}
    assert [len(row["event_time"]) for row in rows_of(tmp_path / "out")] == [2, 2]


def test_a_quoted_line_break_is_part_of_its_cell(tmp_path: Path) -> None:
    source = write_source(tmp_path, HEADER + '1,0,"a\nb",1\n2,0,"a\nb",1\n2,soon,a,1\n')
    # The third row stands on line 6: rows are counted, not lines.
    with pytest.raises(ValueError, match=r"events\.csv, row 3: unreadable time"):
        prepare("table", tmp_path / "out", source=source)
    prepare("table", tmp_path / "out", source=source, strict=False)
    assert State.load(tmp_path / "out").categorical["kind"] == ("a\nb",)


IDS = {
    "fractions": ([1.0, 1.5, 2.0], r"1\.5 is no whole number"),
    "too large": ([1.0, 2.0**53, 2.0], r"9007199254740992\.0 is no whole number below 9,007,199,"),
    "infinite": ([1.0, math.inf, 2.0], "inf is no whole number"),
    "negative": (
        [1.0, -(2.0**60), 2.0],
        r"e\+18 is no whole number below .* \(2 to the power of 53\)",
    ),
    "float32": (pa.array([1, 2**24, 2], pa.float32()), r"16777216\.0 is .* below 16,777,216"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", IDS)
def test_ids_that_are_floats_and_not_exact(tmp_path: Path, case: str, strict: bool) -> None:
    ids, message = IDS[case]
    write_source(tmp_path)
    table = pa.table({"client": ids, "when": [0, 1, 2], "kind": ["a"] * 3, "amount": [1, 2, 3]})
    pq.write_table(table, tmp_path / "events.parquet")
    with pytest.raises(
        ValueError, match=rf"events\.parquet: the ids in column 'client'.*{message}"
    ):
        prepare("table", tmp_path / "out", source=tmp_path / "events.parquet", strict=strict)


def test_whole_floats_are_ids_and_nan_is_none(tmp_path: Path) -> None:
    write_source(tmp_path)
    ids = [1.0, math.nan, 2.0, -3.0]
    table = pa.table({"client": ids, "when": [0, 1, 2, 3], "kind": ["a"] * 4, "amount": [1] * 4})
    pq.write_table(table, tmp_path / "events.parquet")
    with pytest.raises(ValueError, match=r"events\.parquet, row 2: no id in column 'client'"):
        prepare("table", tmp_path / "out", source=tmp_path / "events.parquet")
    prepare("table", tmp_path / "out", source=tmp_path / "events.parquet", strict=False)
    assert [row["client"] for row in rows_of(tmp_path / "out")] == [-3, 1, 2]


MIXED = {
    "two formats": ("2024-01-01", "2024-01-02", "03.01.2024"),
    "a number among dates": ("2024-01-01", "2024-01-02", "1704240000"),
    "a packed date among dates": ("2024-01-01", "2024-01-02", "20240103"),
    "a date among numbers": ("1", "2", "2024-01-03"),
}


@pytest.mark.parametrize("case", MIXED)
def test_mixed_kinds_of_dates_in_one_column(tmp_path: Path, case: str) -> None:
    """Most of the first cells say what the column is; the others are no times."""
    first, second, odd = MIXED[case]
    source = write_source(tmp_path, f"{HEADER}1,{first},a,1\n2,{second},a,1\n2,{odd},a,1\n")
    message = rf"row 3: unreadable time in column 'when': '{odd}'; .*all of a column in one way"
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=source)
    manifest = prepare("table", tmp_path / "out", source=source, strict=False)
    assert manifest.dropped == {"unreadable time in column 'when'": 1}
