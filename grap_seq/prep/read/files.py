"""The files of a source: one, the parts in a folder, or those of a pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path, PurePath
from urllib.parse import unquote

import ibis.expr.types as ir

from grap_seq.prep.engines.base import url_decode

ENDINGS = (".csv", ".tsv", ".txt")
CSV = tuple(ending + packing for ending in ENDINGS for packing in ("", ".gz", ".zst"))
PARQUET = (".parquet", ".pq")
# What a pattern begins with.
GLOB = "glob:"
# What Hive and Spark call the folder of a missing value.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def is_glob(source: Path) -> bool:
    """Whether a source is a pattern, and not the name of a file or folder."""
    return str(source).startswith(GLOB)


def ends(path: PurePath, endings: tuple[str, ...]) -> bool:
    """Whether a file's name has one of some endings, in letters of either case."""
    return path.name.lower().endswith(endings)


def table_files(source: Path) -> list[Path]:
    """The file itself, the parts in a folder, or the files of a pattern; sorted by path.

    Args:
        source: a path, of which nothing is a pattern, or `glob:` and a pattern of Python's `glob`,
            such as `glob:data/*/part-*.parquet`; `**` stands for any folders. Parts may lie in
            folders `key=value` of a folder, however deep.

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
        paths = sorted(_parts(source))
        if not paths:
            raise FileNotFoundError(f"{source} holds no .csv or .parquet file")
    kinds = {ends(path, PARQUET) for path in paths}
    if not all(ends(path, CSV + PARQUET) for path in paths):
        raise ValueError(
            f"{source}: unknown kind of file; give CSV (.csv, .csv.gz, .csv.zst) or parquet"
        )
    if len(kinds) > 1:
        raise ValueError(f"{source} mixes CSV and parquet files; keep one kind in the folder")
    return paths


def is_text(source: Path) -> bool:
    """Whether the table comes from CSV, where every column is text."""
    return not ends(table_files(source)[0], PARQUET)


def _parts(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if _key(path.name) is not None:
                yield from _parts(path)
        elif ends(path, CSV + PARQUET):
            yield path


def is_part(path: PurePath) -> bool:
    """Whether a file of a folder, by its path in it, is a part of the table."""
    return all(map(_key, path.parts[:-1])) and ends(path, CSV + PARQUET)


def _key(name: str) -> str | None:
    """The key of a folder `key=value`."""
    key, sign, _ = name.partition("=")
    return key if key and sign and not key.startswith((".", "_")) else None


def with_folder_columns(table: ir.Table, source: Path, paths: list[Path]) -> ir.Table:
    """A table with a column for each key of the folders `key=value` that its files lie in.

    It is of integers where all values are (written as Python writes them), else of text. Only
    folders below the source count, or below the first wildcard of a pattern. A column that the
    files have themselves stays as it is.

    Args:
        table: it has `__file`.
        source: where the files were found.
        paths: the files.

    Raises:
        ValueError: a file lies in folders of other keys than the first.
    """
    base = _base(source)
    values: dict[str, set[str]] = {key: set() for key in _folders(paths[0], base)}
    for path in paths:
        folders = _folders(path, base)
        if folders.keys() != values.keys():
            raise ValueError(
                f"{path} lies in folders of {_named(folders)}, {paths[0]} in folders of "
                f"{_named(values)}; put all parts into folders of the same keys"
            )
        for key, value in folders.items():
            values[key].add(value)
    below = table["__file"].substr(len(str(base.absolute())))
    columns = {}
    for key, found in values.items():
        value = below.re_extract(f"/{re.escape(key)}=([^/]*)/", 1)
        # A plus sign is one, and no blank.
        text = url_decode(value.replace("+", "%2B")).nullif(NO_VALUE).nullif("")
        whole = all(map(_is_integer, found - {NO_VALUE, ""}))
        columns[unquote(key)] = text.cast("int64") if whole else text
    new = {name: value for name, value in columns.items() if name not in table.columns}
    return table.mutate(**new) if new else table


def _is_integer(text: str) -> bool:
    """Whether a text is an integer of 64 bits that is written in no other way."""
    try:
        number = int(text)
    except ValueError:
        return False
    return str(number) == text and -(2**63) <= number < 2**63


def _base(source: Path) -> Path:
    """The folder below which a source's files lie."""
    if not is_glob(source):
        return source
    pattern = Path(str(source).removeprefix(GLOB))
    plain = takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*plain)


def _folders(path: Path, base: Path) -> dict[str, str]:
    """Values of the folders `key=value` in which a file lies, by key; of two, the outer one's."""
    values: dict[str, str] = {}
    for name in () if path == base else path.relative_to(base).parts[:-1]:
        key = _key(name)
        if key is not None:
            values.setdefault(key, name[len(key) + 1 :])
    return values


def _named(keys: Iterable[str]) -> str:
    return ", ".join(map(repr, keys)) or "no keys"
