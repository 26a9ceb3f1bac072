"""Reading a table of events or labels from files or from a data frame.

CSV files are read as text: a cell that is no number or no date is then found by us, with its row,
instead of ending the read with an engine's own message. Typed sources keep their types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.names import nearest
from grap_seq.prep.read.files import is_text, table_files, with_folder_columns
from grap_seq.prep.read.headers import check_parquet, read_header
from grap_seq.prep.read.lists import records_table

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


def read_table(
    connection: Connection, source: Path, *more: Path, numbered: bool = False
) -> ir.Table:
    """The table with a column `__file` beside its own; columns of CSV files are all text.

    Args:
        source: file, folder or pattern.
        more: others of the same kind and columns, whose rows follow.
        numbered: whether to add the row's number in its file as `__row`. Tables with lists, which
            become several rows each, have it always.
    """
    paths = [file for place in (source, *more) for file in table_files(place)]
    with connection.clear_errors(f"reading {source}"):
        if is_text(source):
            separator, columns = read_header(paths)
            if numbered:
                parts = (connection.read_csv([path], columns, separator) for path in paths)
                table = ibis.union(*map(connection.numbered, parts))
            else:
                table = connection.read_csv(paths, columns, separator)
        else:
            check_parquet(paths)
            table = connection.read_parquet(paths, numbered=numbered)
            if not numbered and any(kind.is_array() for kind in table.schema().types):
                table = connection.read_parquet(paths, numbered=True)
        base = Path(os.path.commonpath([source, *more])) if more else source
        return with_folder_columns(table, base, paths)


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
