"""Tables with one row a sequence and a list a field, as pytorch-lifestream keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.files import atomic_write

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# Position of an event in its list, for `tie_order`; not where a column has that name already.
PLACE = "place"
ROWS_PER_GROUP = 1000


def explode(connection: Connection, table: ir.Table, names: Iterable[str], where: str) -> ir.Table:
    """One row an event where the columns `names` hold lists; other tables stay as they are.

    Columns beside them are repeated. A null list is an empty one.

    Raises:
        ValueError: some hold lists and some do not, or the lists of a row differ in length.
    """
    names = [name for name in names if name in table.columns]
    lists = [name for name in names if table[name].type().is_array()]
    if not lists:
        return table
    if len(lists) < len(names):
        plain = next(name for name in names if name not in lists)
        raise ValueError(
            f"{where}: column '{lists[0]}' holds lists and '{plain}' one value a row; the time and "
            "all fields must be lists, or none"
        )
    lengths = table.select(**{name: table[name].length().fill_null(0) for name in lists})
    first = lists[0]
    uneven = lengths.filter(ibis.or_(*(lengths[name] != lengths[first] for name in lists))).limit(1)

    def judge(found: pa.Table) -> None:
        for row in found.to_pylist():
            other = next(name for name in lists if row[name] != row[first])
            raise ValueError(
                f"{where}: a row has {row[first]} values of '{first}' and {row[other]} of "
                f"'{other}'; the lists of a row must be equally long"
            )

    connection.check(uneven, judge)
    place = PLACE if PLACE not in table.columns else f"__{PLACE}"
    rows = table.mutate(**{place: ibis.range(table[first].length().fill_null(0)).unnest()})
    # By index and not by one unnest a list, of which Spark allows a single one.
    return rows.mutate(**{name: rows[name][rows[place]] for name in lists})


def records_table(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A list of records as a table: arrays or tensors become lists, a missing key null.

    NaN means missing, as in a pandas frame: an array of numbers cannot say it otherwise.

    Raises:
        ValueError: an array of more than one dimension, or values of different types in a field.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    return pa.table({name: _column(records, name) for name in names})


def write_records(records: Iterable[Mapping[str, Any]], path: str | Path) -> Path:
    """Write records (as from ptls's PandasDataPreprocessor) to a parquet file, one row each.

    The first thousand decide columns and types; records are taken one after the other, so they may
    come from a generator.

    Raises:
        ValueError: no records, or records that do not fit one table.
    """
    path, source = Path(path), iter(records)
    block = list(islice(source, ROWS_PER_GROUP))
    if not block:
        raise ValueError(f"there are no records to write to {path}")
    table = records_table(block)
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, table.schema) as writer:
        writer.write_table(table)
        while block := list(islice(source, ROWS_PER_GROUP)):
            later = records_table(block)
            try:
                writer.write_table(later.select(table.column_names).cast(table.schema))
            except (KeyError, pa.ArrowInvalid) as error:
                raise ValueError(
                    f"{path}: later records have other fields or types than the first ({error})"
                ) from error
    return path


def _column(records: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    try:
        return pa.array([_plain(record.get(name)) for record in records], from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"records: '{name}' cannot become a column ({error}); give every record an array of "
            "one dimension, or a single value, of the same type"
        ) from error


def _plain(value: Any) -> Any:
    """Arrow takes NumPy arrays; tensors have to become some, and arrays without axes scalars."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return value.item() if getattr(value, "shape", None) == () else value
