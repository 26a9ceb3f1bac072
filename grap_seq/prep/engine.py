"""The engine under the Ibis expressions: what a preparation asks of one, and which there are.

The other modules are plain Ibis and call a `Connection` for the rest: reading sources, work files,
errors. What only one engine understands is in its own module, `duckdb_engine` or `spark_engine`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from grap_seq.names import nearest

# The package that each engine comes in.
ENGINES = {"duckdb": "duckdb", "spark": "pyspark"}


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]  # Ibis has no types.
def epoch_microseconds(time: dt.Timestamp(scale=6)) -> dt.int64:  # type: ignore[valid-type]  # Ibis reads data types from the annotations.
    """Microseconds since 1970-01-01, exact for dates before it too."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator]  # As above.
def parse_time(text: dt.string, form: dt.string) -> dt.Timestamp(scale=6):  # type: ignore[valid-type]  # As above.
    """Time of a text in a strptime format, null where it does not fit."""


class Connection(ABC):
    """An engine at work: an Ibis backend, and what Ibis has no words for."""

    backend: Any

    def to_pyarrow(self, expression: ir.Expr) -> Any:
        """Result of an expression: a table, a column or a scalar."""
        return self.backend.to_pyarrow(expression)

    def disconnect(self) -> None:
        self.backend.disconnect()

    @abstractmethod
    def read_csv(self, paths: Sequence[Path], columns: Sequence[str], separator: str) -> ir.Table:
        """Files with one header: text columns and `__file`, the absolute path.

        A path is a file's name, whatever is in it; no part of it is a pattern or a column.
        """

    @abstractmethod
    def read_parquet(self, paths: Sequence[Path]) -> ir.Table:
        """As `read_csv`: the columns of all files, by name, and `__file`."""

    @abstractmethod
    def numbered(self, table: ir.Table) -> ir.Table:
        """A table read from one file, with the row's number in it from 1 as `__row`."""

    @abstractmethod
    def write(self, table: ir.Table, path: Path) -> None:
        """Write a work file, which is whole or absent also after a kill."""

    @abstractmethod
    def partition(self, table: ir.Table, path: Path, by: str) -> None:
        """As `write`, one folder `<by>=<value>` of parquet files for every value of a column."""

    @abstractmethod
    def held(self, table: ir.Table) -> ir.Table:
        """The same table computed once, in memory or where the engine puts what exceeds it."""

    @abstractmethod
    def read_work(self, *paths: Path) -> ir.Table:
        """Work files that `write` wrote, or files from the folders of `partition`."""

    @abstractmethod
    def in_order(self, path: Path) -> ir.Table:
        """A work file with `__position`, which grows in the order in which its rows were read."""

    @abstractmethod
    def clear_errors(self, doing: str) -> AbstractContextManager[None]:
        """Turn the engine's errors into ours, with what to do about them."""


def versions(engine: str) -> dict[str, str]:
    """Versions of the packages that decide what comes out of an engine.

    Raises:
        ValueError: unknown engine, or it is not installed.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine '{engine}'; {nearest(engine, ENGINES)}")
    try:
        names = ("grap-seq", ENGINES[engine], "ibis-framework", "pyarrow")
        return {name: version(name) for name in names}
    except PackageNotFoundError as error:
        raise ValueError(
            f"engine={engine} needs the package {error.name}; run "
            f"`pip install 'grap-seq[{engine}]'`"
        ) from error


def connect(
    engine: str = "duckdb",
    *,
    memory_limit: str = "2GB",
    threads: int | None = None,
    temporary: Path | None = None,
    spark: Mapping[str, Any] | None = None,
) -> Connection:
    """A connection that spills to `temporary` beyond `memory_limit`.

    Args:
        spark: settings of Spark by their names without `spark.` (`{"master": "yarn"}`), nested or
            with dots; by default it runs on this machine.

    Raises:
        ValueError: unknown engine, a limit that it does not understand, or it is not installed.
    """
    versions(engine)
    if engine == "duckdb":
        from grap_seq.prep.duckdb_engine import DuckDB

        return DuckDB(memory_limit, threads, temporary)
    from grap_seq.prep.spark_engine import Spark

    return Spark(memory_limit, threads, temporary, spark or {})
