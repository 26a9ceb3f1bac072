"""DuckDB, embedded and out of core: the default engine."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.files import atomic_write
from grap_seq.prep.engines.base import Connection
from grap_seq.prep.engines.slot import Slot
from grap_seq.prep.read.headers import damaged_part

# Of all folders of a partition, in memory until a row group is full.
ROWS_WAITING = 180_000
SMALLEST, LARGEST = 2048, 8192
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
PARQUET = (".parquet", ".pq")
# Cleaned events, the same with split and bucket, and what a query needs beside them; and the bytes
# of a text that was compressed.
HELD, COMPRESSED = 6, 6


class DuckDB(Connection):
    """An in-memory database that spills to `temporary` beyond `memory_limit`.

    Raises:
        ValueError: a limit that DuckDB does not understand.
    """

    def __init__(self, memory_limit: str, threads: int | None, temporary: Path | None) -> None:
        settings = {"memory_limit": memory_limit}
        if threads is not None:
            settings["threads"] = str(threads)
        if temporary is not None:
            settings["temp_directory"] = str(temporary)
        try:
            self.backend = ibis.duckdb.connect(**settings)
        except (duckdb.ParserException, duckdb.InvalidInputException) as error:
            raise ValueError(
                f"memory_limit={memory_limit} threads={threads}: {error}; write for example "
                "memory_limit=2GB threads=2"
            ) from error
        self._parts: list[Path] = []
        self.backend.raw_sql("SET TimeZone = 'UTC'")
        # Ours is the only one; a notebook without ipywidgets has none to switch off.
        with suppress(duckdb.InvalidInputException):
            self.backend.raw_sql("SET enable_progress_bar = false")
        # Parquet files by Arrow have NaN in no minimum or maximum, from which DuckDB would conclude
        # that there is none.
        self.backend.raw_sql("SET disabled_optimizers = 'statistics_propagation'")
        # Spark's name for it.
        self.backend.raw_sql("CREATE TEMP MACRO timestamp_micros(n) AS make_timestamp(n)")

    def slot(self, columns: pa.Schema) -> Slot:
        """A table of these columns that is filled later."""
        slot = Slot(columns)
        self.backend.con.register(slot.name, slot)
        return slot

    def read_csv(self, paths: Sequence[Path], columns: Sequence[str], separator: str) -> ir.Table:
        # Nothing is left to the engine's guess: a ragged row would change what it finds. DuckDB's
        # own function and not Ibis's, which writes the names into SQL as the fields of a struct.
        relation = self.backend.con.read_csv(
            [_pattern(path) for path in paths],
            auto_detect=False,
            columns=dict.fromkeys(columns, "VARCHAR"),
            header=True,
            delimiter=separator,
            quotechar='"',
            escapechar='"',
            filename="__file",
            hive_partitioning=False,
        )
        name = f"csv_{uuid4().hex}"
        relation.create_view(name)
        return self.backend.table(name)

    def read_parquet(self, paths: Sequence[Path], *, numbered: bool = False) -> ir.Table:
        self._parts.extend(paths)
        table = self.backend.read_parquet(
            [_pattern(path) for path in paths],
            filename="__file",
            union_by_name=True,
            # A folder called `amount=5` is no column of the files in it.
            hive_partitioning=False,
            file_row_number=numbered,
        )
        if not numbered:
            return table
        return table.mutate(__row=table["file_row_number"] + 1).drop("file_row_number")

    def numbered(self, table: ir.Table) -> ir.Table:
        return table.mutate(__row=ibis.row_number() + 1)

    def write(self, table: ir.Table, path: Path) -> None:
        with atomic_write(path) as temporary:
            self._relation(table).write_parquet(str(temporary))

    def partition(self, table: ir.Table, path: Path, by: str, count: int) -> None:
        unfinished = path.with_name(f"{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        rows = min(max(SMALLEST, ROWS_WAITING // count), LARGEST)
        self.backend.raw_sql(f"SET partitioned_write_flush_threshold = {2 * rows}")
        self._relation(table).write_parquet(str(unfinished), partition_by=[by], row_group_size=rows)
        unfinished.rename(path)

    def holds(self, files: Sequence[Path]) -> bool:
        ((limit,),) = self.backend.con.sql("SELECT current_setting('memory_limit')").fetchall()
        amount, unit = str(limit).split()
        return sum(map(_expanded, files)) <= float(amount) * 1024.0 ** UNITS.index(unit)

    def held(self, table: ir.Table) -> ir.Table:
        # A table of DuckDB's own takes longer to write.
        return ibis.memtable(self.to_pyarrow(table))

    def read_work(self, *paths: Path) -> ir.Table:
        names = [_pattern(path) for path in paths]
        return self.backend.read_parquet(names, hive_partitioning=False)

    def in_order(self, path: Path) -> ir.Table:
        options = {"file_row_number": True, "hive_partitioning": False}
        table = self.backend.read_parquet(_pattern(path), **options)
        return table.rename(__position="file_row_number")

    def _relation(self, table: ir.Table) -> duckdb.DuckDBPyRelation:
        # Ibis's own to_parquet writes a path into SQL as Python would, not as SQL does.
        self.backend._run_pre_execute_hooks(table)
        relation: duckdb.DuckDBPyRelation = self.backend.con.sql(self.backend.compile(table))
        return relation

    @contextmanager
    def clear_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise MemoryError(f"{doing}: {error}; raise memory_limit or lower threads") from error
        except duckdb.IOException as error:
            if "GZIP" in str(error):
                path = str(error).rpartition(": ")[2]
                raise ValueError(
                    f"{path}: the compressed file ends early; fetch it again"
                ) from error
            raise OSError(f"{doing}: {error}") from error
        except duckdb.Error as error:
            # Of a parquet file DuckDB mostly says what is wrong with a page, and not in which file.
            part = damaged_part(self._parts)
            if part is not None:
                raise ValueError(f"{part} is damaged; fetch or write it again") from error
            # Of a CSV error only file, line and reason are of use here: its advice is about
            # settings that preparation fixes.
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


def _expanded(path: Path) -> int:
    """Bytes that the tables made from a file may take, generously."""
    if path.suffix in PARQUET:
        # A damaged one is named when it is read.
        with suppress(pa.ArrowInvalid):
            found = pq.read_metadata(path)
            sizes = (found.row_group(n).total_byte_size for n in range(found.num_row_groups))
            return HELD * int(sum(sizes))
    packed = path.suffix in (".gz", ".zst", ".zip")
    return HELD * path.stat().st_size * (COMPRESSED if packed else 1)


def _pattern(path: Path) -> str:
    """What DuckDB, which looks for wildcards and homes in a path, reads as this path.

    Raises:
        ValueError: it has no way to write it.
    """
    # A folder that one stands in would become part of the pattern, and `~a` somebody's home.
    path = path.absolute()
    pattern = glob.escape(str(path))
    if pattern != str(path) and "\\" in pattern:
        raise ValueError(
            f"{path}: DuckDB reads no path with both a backslash and one of * ? [; rename it"
        )
    return f"./{pattern}" if pattern.startswith("~") else pattern
