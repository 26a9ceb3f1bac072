"""Raw files of a named dataset: found by name and read by column, whatever the case of either.

Copies of one dataset differ in packing (CSV, CSV.gz, parquet, a folder of parts) and in the case of
their headers; a recipe asks for a table and its columns and need not know which copy it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.names import nearest
from grap_seq.prep.read.files import CSV, PARQUET, is_text, table_files
from grap_seq.prep.read.tables import read_table

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


def source_folder(source: Path | None, dataset: str, remedy: str) -> Path:
    """The folder of raw files.

    Raises:
        ValueError: none given.
        FileNotFoundError: it is no folder.
    """
    if source is None:
        raise ValueError(f"dataset={dataset} needs source=FOLDER; {remedy}")
    if not source.is_dir():
        raise FileNotFoundError(f"no folder {source}; {remedy}")
    return source


def find_table(folder: Path, stem: str) -> Path | None:
    """The file or folder of parts named `stem`, such as `train` for train.csv.gz; None if absent.

    Raises:
        ValueError: two of them, of which one would be read and the other silently not.
    """
    names = {f"{stem}{ending}".lower() for ending in ("", *CSV, *PARQUET)}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in names)
    if len(found) > 1:
        listing = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds {listing}; keep one of them")
    return found[0] if found else None


def need_table(folder: Path, stem: str, remedy: str) -> Path:
    """As `find_table`; FileNotFoundError where it is absent."""
    path = find_table(folder, stem)
    if path is None:
        raise FileNotFoundError(
            f"{folder} has no {stem} (a folder of parts, {stem}.csv, .csv.gz or .parquet); {remedy}"
        )
    return path


def labelled_parts(
    folder: Path, train: str, labels: str | None, unlabelled: str, remedy: str
) -> dict[str, Path]:
    """Tables of a dataset whose labelled sequences have their own: "train", "target", "test".

    "test" is the unlabelled table; it may be absent, and where it is there, so may the other two.

    Args:
        labels: name of the table with the labels; None: they are in that of the events.

    Raises:
        FileNotFoundError: transactions without labels, or labels without transactions.
    """
    parts = {}
    test = find_table(folder, unlabelled)
    if test is None or find_table(folder, train) is not None:
        parts["train"] = need_table(folder, train, remedy)
        if labels is not None:
            parts["target"] = need_table(folder, labels, remedy)
    return parts if test is None else {**parts, "test": test}


def part_files(parts: Mapping[str, Path]) -> list[Path]:
    """Files of several tables."""
    return [file for path in parts.values() for file in table_files(path)]


def parts_are_text(parts: Mapping[str, Path]) -> bool:
    """Whether tables of one packing come from CSV."""
    return is_text(next(iter(parts.values())))


def read_columns(connection: Connection, path: Path, names: Sequence[str]) -> ir.Table:
    """The named columns, spelled as in `names`, and `__file`.

    Raises:
        ValueError: a column is missing.
    """
    return _columns(read_table(connection, path), path, names, ("__file",))


def read_together(connection: Connection, paths: Sequence[Path], names: Sequence[str]) -> ir.Table:
    """As `read_columns`, of several tables one after the other.

    Alike, they are read as one: with a union, the rows of the second half would wait on the disk
    until the first is written.
    """
    tables = [read_table(connection, path) for path in paths]
    kinds = {is_text(path) for path in paths}
    if len(kinds) == 1 and all(table.schema() == tables[0].schema() for table in tables):
        return _columns(read_table(connection, *paths), paths[0], names, ("__file",))
    parts = zip(tables, paths, strict=True)
    return ibis.union(*(_columns(table, path, names, ("__file",)) for table, path in parts))


def _columns(table: ir.Table, path: Path, names: Sequence[str], also: Sequence[str]) -> ir.Table:
    given = {name.lower(): name for name in table.columns}
    for name in names:
        if name.lower() not in given:
            known = [column for column in table.columns if not column.startswith("__")]
            raise ValueError(f"{path}: no column '{name}'; {nearest(name, known)}")
    return table.select(*also, **{name: table[given[name.lower()]] for name in names})


def read_rows(connection: Connection, path: Path, names: Sequence[str]) -> ir.Table:
    """As `read_columns`, with the row's number in its file as `__row`.

    For recipes that leave rows out or sort them into several tables: a bad row is then still named
    by its place in the source.
    """
    table = read_table(connection, path, numbered=True)
    return _columns(table, path, names, ("__file", "__row"))
