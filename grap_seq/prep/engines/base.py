"""The engine under the Ibis expressions: what a preparation asks of one.

The other modules are plain Ibis and call a `Connection` for the rest: reading sources, work files,
errors. What only one engine understands is in its own module, `duckdb` or `spark`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]  # Ibis has no types.
def epoch_microseconds(time: dt.Timestamp(scale=6)) -> dt.int64:  # type: ignore[valid-type]  # Ibis reads data types from the annotations.
    """Microseconds since 1970-01-01, exact for dates before it too."""


@ibis.udf.scalar.builtin(name="timestamp_micros")  # type: ignore[untyped-decorator]  # As above.
def timestamp_of_microseconds(count: dt.int64) -> dt.Timestamp(scale=6):  # type: ignore[valid-type]  # As above.
    """Time of a number of microseconds since 1970-01-01."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator]  # As above.
def parse_time(text: dt.string, form: dt.string) -> dt.Timestamp(scale=6):  # type: ignore[valid-type]  # As above.
    """Time of a text in a strptime format, null where it does not fit."""


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]  # As above.
def url_decode(text: dt.string) -> dt.string:
    """Text with the characters that `%20` and the like stand for."""


# A question to an engine, and its answer.
Query = Callable[[], pa.Table]


class Check(NamedTuple):
    """A question, and what raises where the answer says that something is wrong."""

    ask: Query
    judge: Callable[[pa.Table], None]

    def make(self) -> None:
        self.judge(self.ask())


class Connection(ABC):
    """An engine at work: an Ibis backend, and what Ibis has no words for."""

    backend: Any
    _planned: list[Check] | None = None

    def to_pyarrow(self, expression: ir.Expr) -> Any:
        """Result of an expression: a table, a column or a scalar."""
        return self.backend.to_pyarrow(expression)

    def check(self, found: ir.Table, judge: Callable[[pa.Table], None]) -> None:
        """Hand a result to what raises where it says that something is wrong."""
        if self._planned is None:
            judge(self.to_pyarrow(found))
        else:
            self._planned.append(Check(self.compiled(found), judge))

    @contextmanager
    def planning(self) -> Iterator[list[Check]]:
        """Have checks kept in a list, to be made later, instead of making them."""
        checks: list[Check] = []
        self._planned = checks
        try:
            yield checks
        finally:
            self._planned = None

    def compiled(self, table: ir.Table) -> Query:
        """A query that can be asked again and again."""
        return lambda: self.to_pyarrow(table)

    def disconnect(self) -> None:
        self.backend.disconnect()

    @abstractmethod
    def read_csv(self, paths: Sequence[Path], columns: Sequence[str], separator: str) -> ir.Table:
        """Files with one header: text columns and `__file`, the absolute path.

        A path is a file's name, whatever is in it; no part of it is a pattern or a column.
        """

    @abstractmethod
    def read_parquet(self, paths: Sequence[Path], *, numbered: bool = False) -> ir.Table:
        """As `read_csv`: the columns of all files, by name, and `__file`.

        Args:
            numbered: whether to add the row's number in its file, from 1, as `__row`.
        """

    @abstractmethod
    def numbered(self, table: ir.Table) -> ir.Table:
        """A table read from one CSV file, with the row's number in it from 1 as `__row`."""

    @abstractmethod
    def write(self, table: ir.Table, path: Path) -> None:
        """Write a work file, which is whole or absent also after a kill."""

    @abstractmethod
    def partition(self, table: ir.Table, path: Path, by: str, count: int) -> None:
        """As `write`, one folder `<by>=<value>` of parquet files for each of `count` values."""

    @abstractmethod
    def holds(self, files: Sequence[Path]) -> bool:
        """Whether the tables of a preparation from these files fit into memory."""

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
