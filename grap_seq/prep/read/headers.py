"""What the parts of a table say about themselves before any row is read: columns, separator."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SEPARATORS = ",;\t|"
BOMS = (b"\xff\xfe", b"\xfe\xff")
BLOCK = 1 << 20


def check_parquet(paths: list[Path]) -> None:
    """Refuse parts that are damaged or differ in their columns.

    Raises:
        ValueError: names the part.
    """
    first: dict[str, str | None] = {}
    for path in paths:
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(
                f"{path} is no complete parquet file; fetch or write it again"
            ) from error
        columns = {field.name: _kind(field.type) for field in schema}
        first = first or columns
        differing = [*sorted(first.keys() - columns.keys()), *sorted(columns.keys() - first.keys())]
        if differing:
            name = differing[0]
            without, other = (path, paths[0]) if name in first else (paths[0], path)
            raise ValueError(
                f"{without} has no column '{name}', and {other} has one; give all parts the same "
                "columns"
            )
        for name, kind in columns.items():
            if None not in (kind, first[name]) and kind != first[name]:
                raise ValueError(
                    f"{path}: column '{name}' holds {kind}, in {paths[0]} {first[name]}; write it "
                    "alike in all parts"
                )
            # Where the first part has nothing but missing values, the next one decides.
            first[name] = first[name] or kind
    check_names(first, paths[0])


def damaged_part(paths: Iterable[Path]) -> Path | None:
    """The first parquet file with a page that cannot be read. It reads them all, from the first."""
    return next((path for path in paths if not _readable(path)), None)


def _readable(path: Path) -> bool:
    try:
        for batch in pq.ParquetFile(path, page_checksum_verification=True).iter_batches():
            batch.validate(full=True)
    except (OSError, pa.ArrowException):
        return False
    return True


def _kind(kind: pa.DataType) -> str | None:
    """What a column holds, where all that is read alike has one name; None: only missing values."""
    if pa.types.is_null(kind):
        return None
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"lists of {_kind(kind.value_type) or 'numbers'}"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numbers"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "dates"
    return str(kind)


def check_names(names: Iterable[str], where: Path | str) -> None:
    """Refuse names that differ only in case.

    Raises:
        ValueError: names two of them.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"{where}: columns '{other}' and '{name}' differ only in case, which SQL does not "
                "tell apart; rename one"
            )


def read_header(paths: list[Path]) -> tuple[str, list[str]]:
    """Separator (the one that the first line uses most) and column names of CSV files.

    Raises:
        ValueError: no header, one column only, a name twice, another encoding than UTF-8, a damaged
            file, or parts with different headers.
    """
    lines = []
    for path in paths:
        line = _first_line(path)
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
    check_names(names, paths[0])
    return separator, names


def _first_line(path: Path) -> bytes:
    packing = path.suffix.lower()
    try:
        if packing == ".zst":
            return _first_line_of_zstd(path)
        with gzip.open(path) if packing == ".gz" else path.open("rb") as file:
            return file.readline()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is no complete gzip file; fetch it again") from error


def _first_line_of_zstd(path: Path) -> bytes:
    """Reads the file to its end: DuckDB takes one that was cut for a shorter one."""
    with path.open("rb") as raw:
        try:
            with io.BufferedReader(pa.CompressedInputStream(raw, "zstd")) as file:
                line = file.readline()
                while file.read(BLOCK):
                    pass
        except OSError as error:
            raise ValueError(f"{path} is no complete zstd file; fetch it again") from error
    return line
