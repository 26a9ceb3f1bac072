"""PhysioNet Challenge 2012: the first 48 hours of 8,000 intensive care stays.

Each stay is a small text file (Time,Parameter,Value) in set-a or set-b. All files of a set are
joined in memory and parsed at once: opening 8,000 tables one by one takes many times longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv as csv

from grap_seq.prep.read.archives import contents

SETS = ("a", "b")
HEADER = b"Time,Parameter,Value"
OUTCOMES = ("RecordID", "In-hospital_death")
STATIC = ("Age", "Gender", "Height", "ICUType", "Weight")
REMEDY = (
    "fetch the challenge files with `grap-seq download dataset=physionet2012 output=FOLDER` and "
    "pass source=FOLDER"
)


def files(source: Path | None) -> list[Path]:
    """The files of both sets, as archives or as the records of a folder, and both outcome files."""
    if source is None:
        raise ValueError(f"dataset=physionet2012 needs source=FOLDER; {REMEDY}")
    if not source.is_dir():
        raise FileNotFoundError(f"no folder {source}; {REMEDY}")
    paths = []
    for name in SETS:
        found = _set(source, name)
        paths += sorted(found.glob("*.txt")) if found.is_dir() else [found]
        paths.append(source / f"Outcomes-{name}.txt")
        if not paths[-1].is_file():
            raise FileNotFoundError(f"{paths[-1]} is missing; {REMEDY}")
    return paths


def _set(source: Path, name: str) -> Path:
    choices = [source / f"set-{name}{ending}" for ending in ("", ".tar.gz", ".zip")]
    for path in choices:
        if path.is_dir() and not any(path.glob("*.txt")):
            raise FileNotFoundError(f"{path} holds no record files (*.txt); {REMEDY}")
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{source} has no set-{name} (a folder, set-{name}.tar.gz or set-{name}.zip); {REMEDY}"
    )


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    files(source)
    assert source is not None
    tables = {}
    for name in SETS:
        tables[f"set-{name}"] = ibis.memtable(_records(_set(source, name)))
        tables[f"outcomes-{name}"] = ibis.memtable(_outcomes(source / f"Outcomes-{name}.txt"))
    return tables


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each record file."""
    if path.is_dir():
        for record in sorted(path.glob("*.txt")):
            yield record.name, record.read_bytes()
        return
    for name, content in contents(path, REMEDY):
        if name.endswith(".txt"):
            yield Path(name).name, content


def _records(path: Path) -> pa.Table:
    """Columns RecordID, Time, Parameter, Value (text as it stands) and the row in its file."""
    blocks, rows = [], []
    for name, content in _members(path):
        header, _, body = content.replace(b"\r\n", b"\n").partition(b"\n")
        record = Path(name).stem
        if header != HEADER or not record.isdigit():
            raise ValueError(f"{path}: {name} is no record file with the header {HEADER.decode()}")
        body = body.rstrip(b"\n")
        if body:
            prefix = f"{record},".encode()
            blocks.append(prefix + body.replace(b"\n", b"\n" + prefix))
            rows.append(body.count(b"\n") + 1)
    if not blocks:
        raise ValueError(f"{path} holds no records; {REMEDY}")
    names = ["RecordID", "Time", "Parameter", "Value"]
    kinds = [pa.int64(), pa.string(), pa.string(), pa.string()]
    try:
        table = csv.read_csv(
            pa.py_buffer(b"\n".join(blocks)),
            read_options=csv.ReadOptions(column_names=names),
            parse_options=csv.ParseOptions(ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(names, kinds, strict=True)),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: a record row is damaged ({error}); {REMEDY}") from error
    numbers = [number for count in rows for number in range(1, count + 1)]
    return table.append_column("row", pa.array(numbers, pa.int32()))


def _outcomes(path: Path) -> pa.Table:
    table = csv.read_csv(path)
    for name in OUTCOMES:
        if name not in table.column_names:
            raise ValueError(
                f"{path}: no column '{name}' among {', '.join(table.column_names)}; {REMEDY}"
            )
    return table.select(list(OUTCOMES))


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """One row a measurement, but for missing facts; times in hours since admission."""
    return ibis.union(*(_set_events(tables[f"set-{name}"], name) for name in SETS))


def _set_events(rows: ir.Table, name: str) -> ir.Table:
    rows = rows.filter((rows.Parameter != "RecordID").fill_null(True))
    clock = rows.Time.split(":")
    hours = clock[0].try_cast("float64") + clock[1].try_cast("float64") / 60.0
    unreadable = ibis.literal(float("nan"), "float64")
    return rows.select(
        "RecordID",
        time=ibis.ifelse(rows.Time.isnull(), ibis.null("float64"), hours.fill_null(unreadable)),
        parameter=rows.Parameter,
        value=rows.Value,
        __file=ibis.literal(f"set-{name}/") + rows.RecordID.cast("string") + ".txt",
        __row=rows.row,
        __left_out=ibis.ifelse(
            _unknown(rows), "admission fact marked as missing (-1)", ibis.null("string")
        ),
    )


def _unknown(rows: ir.Table) -> ir.BooleanValue:
    """Whether a row says that a fact known at admission is missing (-1)."""
    minus_one = (rows.Value.try_cast("float64") == -1).fill_null(False)
    return (rows.Time == "00:00").fill_null(False) & rows.Parameter.isin(STATIC) & minus_one


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Death in hospital; set B is the test set."""
    del connection, events
    parts = []
    for name, split in zip(SETS, (ibis.null("string"), ibis.literal("test")), strict=True):
        outcomes = tables[f"outcomes-{name}"]
        parts.append(
            outcomes.select(
                "RecordID",
                in_hospital_death=outcomes["In-hospital_death"],
                split=split.cast("string"),
                __file=ibis.literal(f"Outcomes-{name}.txt"),
            )
        )
    return ibis.union(*parts)
