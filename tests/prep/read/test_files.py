"""Which files belong to a source, and what their folders say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from grap_seq.prep.read.files import table_files
from grap_seq.prep.transform import encode
from tests.prep.helpers import GOOD, SPEC, content_of, packed, rows_of, write_source

HEADER, _, ROWS = GOOD.partition("\n")


@pytest.mark.parametrize("ending", ["CSV", "csv.gz", "Csv.Gz", "csv.zst", "CSV.ZST", "TXT"])
def test_packings_in_letters_of_either_case(tmp_path: Path, ending: str) -> None:
    plain = write_source(tmp_path)
    prepare("table", tmp_path / "plain", source=plain)
    plain.unlink()
    source = tmp_path / f"events.{ending}"
    source.write_bytes(packed(GOOD.encode(), ending))
    prepare("table", tmp_path / "out", source=source)
    assert content_of(tmp_path / "out") == content_of(tmp_path / "plain")


def test_parquet_in_capitals_and_parts_of_several_packings(tmp_path: Path) -> None:
    write_source(tmp_path).rename(tmp_path / "first.csv")
    parts = tmp_path / "events"
    parts.mkdir()
    for number, ending in enumerate(("CSV", "csv.zst", "csv.gz", "csv")):
        row = ROWS.splitlines()[number]
        (parts / f"{number}.{ending}").write_bytes(packed(f"{HEADER}\n{row}\n".encode(), ending))
    prepare("table", tmp_path / "parts", source=parts)
    table = pd.read_csv(tmp_path / "first.csv")
    table.to_parquet(tmp_path / "events.PARQUET")
    prepare("table", tmp_path / "typed", source=tmp_path / "events.PARQUET")
    assert content_of(tmp_path / "parts") == content_of(tmp_path / "typed")


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.0])
@pytest.mark.parametrize("strict", [True, False])
def test_a_zstd_file_that_was_cut_is_not_a_shorter_one(
    tmp_path: Path, kept: float, strict: bool
) -> None:
    write_source(tmp_path)
    rows = "".join(f"{i % 50},{i},k,1\n" for i in range(200_000))
    content = packed(f"{HEADER}\n{rows}".encode(), "csv.zst")
    source = tmp_path / "events.csv.zst"
    source.write_bytes(content[: int(kept * len(content))])
    message = "is no complete zstd file; fetch" if kept else "has no header line"
    with pytest.raises(ValueError, match=rf"{source} {message}"):
        prepare("table", tmp_path / "out", source=source, strict=strict)
    source.write_text(GOOD)
    with pytest.raises(ValueError, match=rf"{source} is no complete zstd file"):
        prepare("table", tmp_path / "out", source=source, strict=strict)


# Folders as Spark and Hive write them, and what their names say.
FOLDERS = {
    "when=0/kind=a": ("0", "a"),
    "when=1/kind=b%2F+c": ("1", "b/+c"),
    "when=1/kind=__HIVE_DEFAULT_PARTITION__": ("1", None),
    "when=2.5/kind=x=y z": ("2.5", "x=y z"),
}


def partitioned(folder: Path, kind: str) -> tuple[Path, Path]:
    """A folder of parts in folders, and a description."""
    source = folder / "amount=99" / "events"
    for number, place in enumerate(FOLDERS):
        (source / place).mkdir(parents=True)
        part = source / place / f"part-0.{kind}"
        table = pd.DataFrame({"client": [number, 7], "amount": [1.5, 2.0]})
        table.to_csv(part, index=False) if kind == "csv" else table.to_parquet(part)
    (source / "_SUCCESS").touch()
    (source / "_temporary=1").mkdir()
    (source / "_temporary=1" / f"half.{kind}").touch()
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(SPEC))
    return source, spec


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("pattern", [False, True])
def test_keys_of_folders_are_columns(tmp_path: Path, kind: str, pattern: bool) -> None:
    source, spec = partitioned(tmp_path, kind)
    given = Path(f"glob:{source}/when=*/**/*.{kind}") if pattern else source
    prepare("table", tmp_path / "out", source=given, spec=spec)
    rows = {row["client"]: row for row in rows_of(tmp_path / "out")}
    assert rows[7]["event_time"] == [0.0, 1.0, 1.0, 2.5]
    values = State.load(tmp_path / "out").categorical["kind"]
    found = [values[rows[number]["kind"][0] - 1] for number in range(4)]
    assert found == [kind for _, kind in FOLDERS.values()]
    # A folder above the source says nothing.
    assert {number for row in rows.values() for number in row["amount"]} == {-1.0, 1.0}


def test_keys_of_folders_are_columns_of_labels_too(tmp_path: Path) -> None:
    source = write_source(tmp_path, label="y", labels="labels")
    for value, clients in (("a", "1"), ("b", "2\n3")):
        (tmp_path / "labels" / f"y={value}").mkdir(parents=True)
        (tmp_path / "labels" / f"y={value}" / "x.csv").write_text(
            "client,split\n" + clients.replace("\n", ",train\n") + ",train\n"
        )
    prepare("table", tmp_path / "out", source=source)
    assert [row["label"] for row in rows_of(tmp_path / "out")] == [0, 1, 1]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["2", "10", "-3"], [-3, 2, 10]),
        (["2", "10", "a"], ["10", "2", "a"]),
        (["2", "10", "007"], ["007", "10", "2"]),
        (["2", "10", str(2**63)], ["10", "2", str(2**63)]),
    ],
)
def test_ids_in_names_of_folders_are_as_in_a_csv_file(
    tmp_path: Path, kind: str, ids: list[str], expected: list[Any]
) -> None:
    write_source(tmp_path).unlink()
    for place in ids:
        part = tmp_path / "events" / f"client={place}" / f"x.{kind}"
        part.parent.mkdir(parents=True)
        table = pd.DataFrame({"when": [0, 1], "kind": ["a", "b"], "amount": [1.5, 2.0]})
        table.to_csv(part, index=False) if kind == "csv" else table.to_parquet(part)
    prepare("table", tmp_path / "out", source=tmp_path / "events")
    rows = "".join(f"{place},0,a,1.5\n{place},1,b,2.0\n" for place in ids)
    prepare("table", tmp_path / "plain", source=write_source(tmp_path, f"{HEADER}\n{rows}"))
    for folder in ("out", "plain"):
        found = [row["client"] for row in rows_of(tmp_path / folder)]
        assert sorted(found) == expected
    assert content_of(tmp_path / "out") == content_of(tmp_path / "plain")
    coded = encode(tmp_path / "events", tmp_path / "out")
    assert sorted(coded["client"].to_pylist()) == expected


def test_a_column_of_the_file_comes_before_its_folder(tmp_path: Path) -> None:
    write_source(tmp_path).unlink()
    (tmp_path / "events" / "kind=z").mkdir(parents=True)
    (tmp_path / "events" / "kind=z" / "a.csv").write_text(GOOD)
    prepare("table", tmp_path / "out", source=tmp_path / "events")
    assert State.load(tmp_path / "out").categorical["kind"] == ("a", "b")


def test_folders_of_other_keys_are_refused(tmp_path: Path) -> None:
    source, spec = partitioned(tmp_path, "csv")
    (source / "client=1").mkdir()
    (source / "client=1" / "a.csv").write_text("client,amount\n1,2\n")
    with pytest.raises(
        ValueError, match=r"part-0\.csv lies in folders of 'when', 'kind', .*a\.csv"
    ):
        prepare("table", tmp_path / "out", source=source, spec=spec)


def typed(**columns: Any) -> pa.Table:
    whole = {"client": [1, 2], "when": [0.0, 1.0], "kind": ["a", "b"], "amount": [1.0, 2.0]}
    return pa.table(
        {name: value for name, value in {**whole, **columns}.items() if value is not None}
    )


DIFFERENT = {
    "a column less": (typed(amount=None), r"b\.parquet has no column 'amount', and .*a\.parquet"),
    "a column more": (typed(x=[1, 2]), r"a\.parquet has no column 'x', and .*b\.parquet has one"),
    "another case": (typed(kind=None, Kind=["a", "b"]), r"b\.parquet has no column 'kind'"),
    "text and numbers": (typed(amount=["1", "2"]), r"b\.parquet: column 'amount' holds text, in"),
    "dates and numbers": (
        typed(when=pd.to_datetime(["2024", "2025"])),
        r"b\.parquet: column 'when' holds dates, in .*a\.parquet numbers; write it alike",
    ),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", DIFFERENT)
def test_parts_with_other_columns_are_named(tmp_path: Path, case: str, strict: bool) -> None:
    table, message = DIFFERENT[case]
    write_source(tmp_path).unlink()
    parts = tmp_path / "events"
    parts.mkdir()
    pq.write_table(typed(), parts / "a.parquet")
    pq.write_table(table, parts / "b.parquet")
    with pytest.raises(ValueError, match=message):
        prepare("table", tmp_path / "out", source=parts, strict=strict)
    assert not (tmp_path / "out").exists()


def test_parts_may_differ_in_order_and_in_how_numbers_and_text_are_kept(tmp_path: Path) -> None:
    write_source(tmp_path).unlink()
    parts = tmp_path / "events"
    parts.mkdir()
    kind = pa.array(["a", "b"]).dictionary_encode()
    pq.write_table(typed(amount=pa.nulls(2)), parts / "a.parquet")
    pq.write_table(typed(kind=kind, when=[2, 3]).select([3, 1, 2, 0]), parts / "b.parquet")
    prepare("table", tmp_path / "out", source=parts)
    first = rows_of(tmp_path / "out")[0]
    assert (first["event_time"], first["kind"]) == ([0.0, 2.0], [1, 1])
    assert math.isnan(first["amount"][0])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_differ_only_in_case_are_refused(tmp_path: Path, kind: str) -> None:
    source = write_source(tmp_path)
    table = pd.read_csv(source).assign(Amount=5)
    source = tmp_path / f"events.{kind}"
    table.to_csv(source, index=False) if kind == "csv" else table.to_parquet(source)
    message = "columns 'amount' and 'Amount' differ only in case, which SQL does not tell apart"
    with pytest.raises(ValueError, match=rf"events\.{kind}: {message}"):
        prepare("table", tmp_path / "out", source=source)
    plain = write_source(tmp_path / "plain")
    prepare("table", tmp_path / "plain" / "out", source=plain)
    with pytest.raises(ValueError, match=f"events: {message}"):
        encode(table, tmp_path / "plain" / "out")


def test_files_are_sorted_by_path(tmp_path: Path) -> None:
    source, _ = partitioned(tmp_path, "csv")
    assert [path.parent.relative_to(source).as_posix() for path in table_files(source)] == [
        *("when=0/kind=a", "when=1/kind=__HIVE_DEFAULT_PARTITION__", "when=1/kind=b%2F+c"),
        "when=2.5/kind=x=y z",
    ]
