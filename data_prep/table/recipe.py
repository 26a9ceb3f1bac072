"""Your own table: one CSV or parquet file, or a folder of parts, described by a short YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis.expr.types as ir

from grap_seq.prep.read.files import is_text, table_files
from grap_seq.prep.read.tables import read_table


def files(source: Path | None) -> list[Path]:
    return table_files(_given(source))


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    return {"events": read_table(connection, _given(source))}


def events(tables: dict[str, ir.Table]) -> ir.Table:
    return tables["events"]


def untyped(source: Path | None) -> bool:
    return is_text(_given(source))


def _given(source: Path | None) -> Path:
    if source is None:
        raise ValueError("dataset=table needs source=FILE, your CSV or parquet table")
    return source
