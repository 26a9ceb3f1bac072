"""Spark, on this machine or on a cluster that sees the same files: `engine=spark`.

Work files are folders of parquet files here. Needs Java 17 and, for text that no SQL function of
Spark reads or writes as DuckDB does, pandas on every machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ibis.expr.types as ir
import pandas as pd
import pyspark.sql.functions as F
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.functions import pandas_udf

from grap_seq.prep.engines.base import Connection
from grap_seq.prep.engines.dialect import SparkBackend

POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
SETTINGS = {
    # Names are compared as they are written, and text stays what it is, as in DuckDB.
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    # A row with too few cells is an error also where only some columns are used.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Cleaning many columns in one compiled method is more than the JVM takes: compile them apart.
    "spark.sql.codegen.wholeStage": "false",
}
# Set in a process that spark-submit has started.
SUBMITTED = "PYSPARK_GATEWAY_PORT"
LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "localhost",
    "spark.driver.bindAddress": "127.0.0.1",
}


class Spark(Connection):
    """The running session of this process, or one of its own that ends with the connection.

    Raises:
        ValueError: Java is missing or does not start, or a limit cannot be read.
    """

    def __init__(
        self,
        memory_limit: str,
        threads: int | None,
        temporary: Path | None,
        settings: Mapping[str, Any],
    ) -> None:
        running = SparkSession.getActiveSession()
        self.own = running is None
        self._held: list[DataFrame] = []
        self._interrupt = signal.getsignal(signal.SIGINT)
        self.session = running or _start(memory_limit, threads, temporary, settings)
        for name, value in SETTINGS.items():
            self.session.conf.set(name, value)
        _add_functions(self.session)
        SparkBackend.register_options()
        self.backend = SparkBackend()
        self.backend.do_connect(self.session)

    def disconnect(self) -> None:
        for frame in self._held:
            frame.unpersist()
        if not self.own:
            return
        self.backend.disconnect()
        # PySpark's own handler of Ctrl+C outlives the session, and fails without one.
        if self._interrupt is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._interrupt)

    def read_csv(self, paths: Sequence[Path], columns: Sequence[str], separator: str) -> ir.Table:
        names = ", ".join(f"`{name.replace('`', '``')}` string" for name in columns)
        frame = self.session.read.csv(
            [_pattern(path) for path in paths],
            schema=names,
            sep=separator,
            header=True,
            quote='"',
            escape='"',
            multiLine=True,
            mode="FAILFAST",
        )
        return self._source(frame, F.monotonically_increasing_id())

    def read_parquet(self, paths: Sequence[Path], *, numbered: bool = False) -> ir.Table:
        frame = self.session.read.parquet(*map(_pattern, paths), mergeSchema=True)
        table = self._source(frame, F.col("_metadata.row_index"))
        return self.numbered(table) if numbered else table

    def numbered(self, table: ir.Table) -> ir.Table:
        return table.mutate(__row=table["__place"] + 1).drop("__place")

    def write(self, table: ir.Table, path: Path) -> None:
        self._save(self._frame(table), path)

    def partition(self, table: ir.Table, path: Path, by: str, count: int) -> None:
        self._save(self._frame(table).repartition(count, by), path, by)

    def holds(self, files: Sequence[Path]) -> bool:
        # Of a cluster nobody here knows the memory, and what is lost with a worker is in the files.
        return False

    def held(self, table: ir.Table) -> ir.Table:
        frame = self._frame(table).persist()
        self._held.append(frame)
        return self._table(frame)

    def read_work(self, *paths: Path) -> ir.Table:
        return self._table(self.session.read.parquet(*map(_pattern, paths)))

    def in_order(self, path: Path) -> ir.Table:
        # Tasks write part-00000, part-00001, ... in the order in which Spark reads its input.
        frame = self.session.read.parquet(_pattern(path))
        part = F.regexp_extract("_metadata.file_name", r"^part-([0-9]+)", 1).cast("bigint")
        position = F.shiftleft(part, 40) + F.col("_metadata.row_index")
        return self._table(frame.select("*", position.alias("__position")))

    @contextmanager
    def clear_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (PySparkException, Py4JError) as error:
            if "zStandard" in str(error):
                raise ValueError(
                    f"{doing}: this Hadoop has no zstd, of which Spark needs the native library; "
                    "pack the file otherwise, or choose engine=duckdb"
                ) from error
            text = str(error).partition("\n\n")[0]
            if "OutOfMemoryError" in text:
                raise MemoryError(f"{doing}: {text}; raise memory_limit") from error
            if "No space left" in text:
                raise OSError(f"{doing}: {text}") from error
            if "EOFException" in text:
                raise ValueError(
                    f"{doing}: a compressed file ends early; fetch it again"
                ) from error
            raise ValueError(f"{doing}: {text}; correct the file") from error

    def _source(self, frame: DataFrame, place: Any) -> ir.Table:
        """Columns of the files, `__file`, and `__place`: the row's number from 0, if one file."""
        path = F.regexp_replace("_metadata.file_path", "^file:/*", "/")
        path = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
        return self._table(frame.select("*", path.alias("__file"), place.alias("__place")))

    def _table(self, frame: DataFrame) -> ir.Table:
        # A name used twice would change what an earlier table reads.
        name = f"grap_seq_{uuid4().hex}"
        frame.createOrReplaceTempView(name)
        return self.backend.table(name)

    def _frame(self, table: ir.Table) -> DataFrame:
        self.backend._run_pre_execute_hooks(table)
        return self.session.sql(self.backend.compile(table))

    def _save(self, frame: DataFrame, path: Path, *by: str) -> None:
        unfinished = path.with_name(f"{path.name}.unfinished")
        target = str(unfinished.absolute())
        frame.write.parquet(target, mode="overwrite", partitionBy=list(by) or None)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)


def _pattern(path: Path) -> str:
    """What Spark, which looks for wildcards in a path, reads as this path."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path.absolute()))


def _start(
    memory_limit: str, threads: int | None, temporary: Path | None, settings: Mapping[str, Any]
) -> SparkSession:
    if java() is None:
        raise ValueError(
            "engine=spark needs Java 17, and no `java` is found; install it, for example "
            "openjdk-17-jre-headless, or set JAVA_HOME"
        )
    chosen = {f"spark.{name}": value for name, value in _flat(settings).items()}
    if SUBMITTED not in os.environ:
        chosen = _defaults(memory_limit, threads, temporary, chosen) | chosen
    builder = SparkSession.builder.appName("grap-seq")
    for name, value in {**SETTINGS, **chosen}.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (PySparkRuntimeError, Py4JError) as error:
        raise ValueError(
            f"Spark does not start: {error}. It needs Java 17 (see `java -version`) and "
            "memory_limit=512MB or more"
        ) from error


def _defaults(
    memory_limit: str, threads: int | None, temporary: Path | None, chosen: Mapping[str, str]
) -> dict[str, str]:
    """What spark-submit would settle: where Spark runs, with how much memory."""
    local = f"local[{'*' if threads is None else threads}]"
    found = {"spark.driver.memory": f"{_megabytes(memory_limit)}m"}
    if chosen.get("spark.master", local).startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        found |= {**LOCAL, "spark.master": local}
    if temporary is not None:
        # By default Spark makes a folder of this name wherever it is started.
        warehouse = str(temporary / "spark-warehouse")
        found |= {"spark.local.dir": str(temporary), "spark.sql.warehouse.dir": warehouse}
    return found


def java() -> str | None:
    """The Java that Spark would start; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=None if home is None else str(Path(home) / "bin"))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            found[f"{prefix}{name}"] = str(value)
    return found


def _megabytes(limit: str) -> int:
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?)(i?)b?\s*", limit.lower())
    try:
        assert match is not None
        size = float(match[1]) * (1024 if match[3] else 1000) ** POWERS[match[2]]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"memory_limit={limit}; write for example memory_limit=2GB") from error
    return int(size / 2**20)


def _add_functions(session: SparkSession) -> None:
    """The functions of `engine` and of the dialect, under the names that DuckDB has for them."""
    session.sql(
        "CREATE OR REPLACE TEMPORARY FUNCTION epoch_us(time TIMESTAMP) RETURNS BIGINT "
        "RETURN unix_micros(time)"
    )

    def parsed(text: pd.Series, form: pd.Series) -> pd.Series:
        given = form.iloc[0] if len(form) else None
        # Times with an offset are moved to UTC, times without one are taken as they stand.
        moments = pd.to_datetime(text, format=given, errors="coerce", utc=True)
        return moments.dt.tz_localize(None)

    def written(number: pd.Series) -> pd.Series:
        return pd.Series(number.to_numpy().astype(str))

    functions = {
        "try_strptime": (parsed, "timestamp_ntz"),
        "text_of_double": (written, "string"),
        "text_of_float": (written, "string"),
    }
    for name, (function, kind) in functions.items():
        session.udf.register(name, pandas_udf(function, kind))  # type: ignore[call-overload]  # Its types do not know those of pandas-stubs.
