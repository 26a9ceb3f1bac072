"""Which engines there are, and how to begin to work with one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grap_seq.names import nearest
from grap_seq.prep.engines.base import Connection

# The package that each engine comes in.
ENGINES = {"duckdb": "duckdb", "spark": "pyspark"}


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
            with dots; by default it runs on this machine, in `threads`. A process that
            spark-submit has started keeps what that was told.

    Raises:
        ValueError: unknown engine, a limit that it does not understand, or it is not installed.
    """
    versions(engine)
    if engine == "duckdb":
        from grap_seq.prep.engines.duckdb import DuckDB

        return DuckDB(memory_limit, threads, temporary)
    from grap_seq.prep.engines.spark import Spark

    return Spark(memory_limit, threads, temporary, spark or {})
