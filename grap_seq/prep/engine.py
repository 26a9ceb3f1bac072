"""The engine under the Ibis expressions: DuckDB, embedded and out of core.

Everything that only DuckDB understands (its settings, its function names, its errors) is here; the
other modules are plain Ibis, so that another backend can be added in this one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import ibis
import ibis.expr.datatypes as dt

from grap_seq.schema import nearest

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

ENGINES = ("duckdb",)


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]  # Ibis has no types.
def epoch_microseconds(time: dt.Timestamp(scale=6)) -> dt.int64:  # type: ignore[valid-type]  # Ibis reads data types from the annotations.
    """Microseconds since 1970-01-01, exact for dates before it too."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator]  # As above.
def parse_time(text: dt.string, form: dt.string) -> dt.Timestamp(scale=6):  # type: ignore[valid-type]  # As above.
    """Time of a text in a strptime format, null where it does not fit."""


def connect(
    engine: str = "duckdb",
    *,
    memory_limit: str = "2GB",
    threads: int | None = None,
    temporary: Path | None = None,
) -> Backend:
    """A connection that spills to `temporary` beyond `memory_limit`.

    Raises:
        ValueError: unknown engine, or a limit that DuckDB does not understand.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine '{engine}'; {nearest(engine, ENGINES)}")
    settings = {"memory_limit": memory_limit}
    if threads is not None:
        settings["threads"] = str(threads)
    if temporary is not None:
        settings["temp_directory"] = str(temporary)
    try:
        connection = ibis.duckdb.connect(**settings)
    except (duckdb.ParserException, duckdb.InvalidInputException) as error:
        raise ValueError(
            f"memory_limit={memory_limit} threads={threads}: {error}; write for example "
            "memory_limit=2GB threads=2"
        ) from error
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


@contextmanager
def clear_errors(doing: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours, with what to do about them."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(f"{doing}: {error}; raise memory_limit or lower threads") from error
    except duckdb.IOException as error:
        if "GZIP" in str(error):
            path = str(error).rpartition(": ")[2]
            raise ValueError(f"{path}: the compressed file ends early; fetch it again") from error
        raise OSError(f"{doing}: {error}") from error
    except duckdb.Error as error:
        # Of a CSV error only file, line and reason are of use here: its advice is about settings
        # that preparation fixes.
        text = str(error)
        file = re.search(r"^\s*file = (.*)$", text, re.MULTILINE)
        place = f"{file[1]}: " if file else ""
        line = re.search(r"CSV Error on Line: (\d+)", text)
        if line and "not utf-8" in text:
            raise ValueError(
                f"{place}line {line[1]} is not UTF-8; convert the file, for example with "
                "`iconv -f LATIN1 -t UTF-8`"
            ) from error
        text = " ".join(text.partition("Possible fixes")[0].split())
        raise ValueError(f"{doing}: {place}{text}; correct the file") from error
