"""Reading a table of events or labels from files or from a data frame.

CSV files are read as text: a cell that is no number or no date is then found by us, with its row,
instead of ending the read with an engine's own message. Typed sources keep their types.
"""

from __future__ import annotations

import csv
import glob
import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.names import nearest
from grap_seq.prep.read.lists import records_table

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
# What a pattern begins with.
GLOB = "glob:"
SEPARATORS = ",;\t|"
BOMS = (b"\xff\xfe", b"\xfe\xff")
PARQUET = (".parquet", ".pq")


def is_glob(source: Path) -> bool:
    """Whether a source is a pattern, and not the name of a file or folder."""
    return str(source).startswith(GLOB)


def table_files(source: Path) -> list[Path]:
    """The file itself, the parts in a folder, or the files of a pattern; sorted by path.

    Args:
        source: a path, of which nothing is a pattern, or `glob:` and a pattern of Python's `glob`,
            such as `glob:data/*/part-*.parquet`; `**` stands for any folders.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: neither CSV nor parquet, or both.
    """
    paths = [source]
    if is_glob(source):
        found = glob.glob(str(source).removeprefix(GLOB), recursive=True)
        paths = sorted(path for path in map(Path, found) if path.is_file())
        if not paths:
            raise FileNotFoundError(f"no file matches {source}; correct the pattern")
    elif not source.exists():
        raise FileNotFoundError(f"no file or folder {source}; give the path of your table")
    elif source.is_dir():
        paths = sorted(p for p in source.iterdir() if p.name.endswith(CSV + PARQUET))
        if not paths:
            raise FileNotFoundError(f"{source} holds no .csv or .parquet file")
    kinds = {path.name.endswith(PARQUET) for path in paths}
    if not all(path.name.endswith(CSV + PARQUET) for path in paths):
        raise ValueError(f"{source}: unknown kind of file; give CSV (.csv, .csv.gz) or parquet")
    if len(kinds) > 1:
        raise ValueError(f"{source} mixes CSV and parquet files; keep one kind in the folder")
    return paths


def read_table(connection: Connection, source: Path, *, numbered: bool = False) -> ir.Table:
    """The table with a column `__file` beside its own; CSV columns are all text.

    Args:
        numbered: whether to add the row's number in its file as `__row`. Tables with lists, which
            become several rows each, have it always.
    """
    paths = table_files(source)
    with connection.clear_errors(f"reading {source}"):
        if is_text(source):
            separator, columns = _header(paths)
            if not numbered:
                return connection.read_csv(paths, columns, separator)
            parts = (connection.read_csv([path], columns, separator) for path in paths)
            return ibis.union(*map(connection.numbered, parts))
        for path in paths:
            _check_parquet(path)
        table = connection.read_parquet(paths, numbered=numbered)
        if numbered or not any(kind.is_array() for kind in table.schema().types):
            return table
        return connection.read_parquet(paths, numbered=True)


def _check_parquet(path: Path) -> None:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{path} is no complete parquet file; fetch or write it again") from error


def _header(paths: list[Path]) -> tuple[str, list[str]]:
    """Separator (the one that the first line uses most) and column names.

    Raises:
        ValueError: no header, one column only, a name twice, another encoding than UTF-8, or parts
            with different headers.
    """
    lines = []
    for path in paths:
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                line = file.readline()
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{path} is no complete gzip file; fetch it again") from error
        try:
            lines.append(line.decode("utf-8-sig").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: the header is not UTF-8; convert the file, for example with "
                f"`iconv -f {'UTF-16' if line[:2] in BOMS else 'LATIN1'} -t UTF-8`"
            ) from error
        if not lines[-1].strip():
            raise ValueError(f"{path} has no header line; its first line must name the columns")
        if lines[-1] != lines[0]:
            raise ValueError(f"{path} has other columns than {paths[0]}; give all parts one header")
    separator = max(SEPARATORS, key=lines[0].count)
    names = next(csv.reader(lines[:1], delimiter=separator))
    if len(names) < 2:
        raise ValueError(
            f"{paths[0]}: the header {lines[0]!r} is one column; separate columns by a comma, "
            "semicolon, tab or |"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{paths[0]}: a column name occurs twice in {', '.join(names)}; rename it")
    return separator, names


def is_text(source: Path) -> bool:
    """Whether the table comes from CSV, where every column is text."""
    return not table_files(source)[0].name.endswith(PARQUET)


def to_arrow(frame: Any) -> pa.Table:
    """A pandas, polars or pyarrow table or a list of records as pyarrow.

    NaN in a pandas frame means missing.
    """
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if hasattr(frame, "columns") and hasattr(frame, "index"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    if isinstance(frame, Sequence) and frame and all(isinstance(row, Mapping) for row in frame):
        return records_table(frame)
    raise ValueError(
        f"events of type {type(frame).__name__}; give a pandas, polars or pyarrow table, a list of "
        "records with an array a field, or the path of a CSV or parquet file"
    )


def require_columns(table: ir.Table, names: Iterable[str], where: str) -> None:
    """Raise ValueError for the first name that is no column, with the nearest that is."""
    known = [name for name in table.columns if not name.startswith("__")]
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no column '{name}'; {nearest(name, known)}")
