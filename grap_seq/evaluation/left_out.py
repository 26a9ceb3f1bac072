"""Coded sequences without one of their events each: what coding gives where the raw row is gone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.schema import TIME, UNTIL, Schema

Array = NDArray[Any]


def left_out(
    coded: pa.Table,
    schema: Schema,
    rows: Array,
    counts: Array,
    *,
    longest: int,
    relative_time: bool,
) -> pa.Table:
    """For each of the last events of rows, the row without it.

    The event behind it gets the gap since the one before it, as gaps are taken of times later on.

    Args:
        coded: one row a sequence, as `Coder.encode` returns them.
        schema: of these.
        rows: which of them, shape (R,).
        counts: how many of the last events of each of these are left out, at most all, shape (R,).
        longest: last events of a sequence that a model sees; further ones are cut off.
        relative_time: whether times count from each sequence's first event.

    Returns:
        sum(counts) rows: row by row, and in each by the place of the event, the oldest first.
        Where a row had one event, a row without any.
    """
    offsets = coded[TIME].combine_chunks().offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)[rows]
    # An event more than the model sees: it moves up when a later one goes.
    kept = np.minimum(lengths, longest + 1)
    firsts = offsets[rows] + lengths - kept
    parts = []
    for first, size, count in zip(firsts, kept, counts, strict=True):
        places = np.arange(size - 1)
        gone = np.arange(size - count, size)
        parts.append((first + places + (places >= gone[:, None])).ravel())
    events, sizes = np.concatenate(parts), np.repeat(kept - 1, counts)
    places = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    owners = np.repeat(rows, counts)
    static = [schema.id, *(field.name for field in schema.static)]
    columns = {name: coded[name].take(pa.array(owners)) for name in static}
    for name in (TIME, *(field.name for field in schema.fields)):
        values = coded[name].combine_chunks().values.take(pa.array(events))
        columns[name] = pa.ListArray.from_arrays(places, values)
    if schema.until:
        columns[UNTIL] = coded[UNTIL].take(pa.array(owners))
    table = pa.table(columns)
    return _from_new_first(table, places, sizes) if relative_time else table


def _from_new_first(table: pa.Table, places: pa.Array, sizes: Array) -> pa.Table:
    """Times, and `until`, counted from the first event that is left."""
    times = table[TIME].combine_chunks().values.to_numpy()
    first = np.zeros(len(sizes))
    first[sizes > 0] = times[places.to_numpy()[:-1][sizes > 0]]
    moved = pa.ListArray.from_arrays(places, pa.array(times - np.repeat(first, sizes)))
    table = table.set_column(table.column_names.index(TIME), TIME, moved)
    if UNTIL in table.column_names:
        until = pa.array(table[UNTIL].to_numpy() - first)
        table = table.set_column(table.column_names.index(UNTIL), UNTIL, until)
    return table
