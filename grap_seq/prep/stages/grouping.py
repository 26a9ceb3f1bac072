"""Coded events to sequences: Arrow sorts them and cuts the sorted columns into lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.folder.state import State


def group_events(table: pa.Table, state: State, key: str) -> pa.Table:
    """One row for each value of `key`, in its order, with a list column for time and every field.

    Events are sorted by time, `tie_order`, then all fields in spec order: by every column, which
    makes the result independent of the order in which events come.
    """
    kinds = list_types(state)
    table = in_order(table, [key, "event_time"], [*state.spec.ties, *kinds.names[1:]])
    runs = pc.run_end_encode(table[key].combine_chunks())
    # offsets: (sequences + 1,)
    offsets = np.concatenate([[0], runs.run_ends.to_numpy()]).astype(np.int32)
    values = {name: table[name].combine_chunks() for name in kinds.names}
    if state.spec.relative_time:
        times = values["event_time"].to_numpy()
        firsts = np.repeat(times[offsets[:-1]], np.diff(offsets))
        values["event_time"] = pa.array(times - firsts)
    places = pa.array(offsets)
    lists = [
        pa.ListArray.from_arrays(places, values[name]).cast(kinds.field(name).type)
        for name in kinds.names
    ]
    return pa.table([runs.values, *lists], names=[key, *kinds.names])


def in_order(table: pa.Table, first: list[str], then: list[str]) -> pa.Table:
    """Sort by the columns `first`, and only what ties in all of these by those of `then`."""
    # (rows,)
    order = np.array(pc.sort_indices(table, [(name, "ascending") for name in first]))
    ties = np.ones(max(0, len(order) - 1), bool)
    for name in first:
        column = table[name].take(pa.array(order))
        ties &= pc.equal(column[1:], column[:-1]).to_numpy()
    tied = np.zeros(len(order), bool)
    tied[1:] |= ties
    tied[:-1] |= ties
    rows = order[tied]
    keys = [(name, "ascending") for name in (*first, *then)]
    order[tied] = rows[pc.sort_indices(table.take(pa.array(rows)), keys)]
    return table.take(pa.array(order))


def list_types(state: State) -> pa.Schema:
    """Arrow types of a sequence's event_time and fields."""
    return pa.schema(
        [
            ("event_time", pa.list_(pa.float64())),
            *((name, pa.list_(pa.int32())) for name in state.categorical),
            *((name, pa.list_(pa.float32())) for name in state.numerical),
        ]
    )


def with_id(ids: pa.Array, sequences: pa.Table, state: State) -> pa.Table:
    """The sequences with `ids` in the type that prepared folders have, sorted by them.

    Raises:
        pyarrow.ArrowInvalid: text ids where preparation had integers.
    """
    kind = {"int64": pa.int64(), "string": pa.string()}[state.id_type]
    ids = ids.cast(kind)
    order = pc.sort_indices(ids)
    named = sequences.set_column(0, state.spec.id, ids)
    ordered = order.equals(pa.array(range(len(ids)), pa.uint64()))
    return named if ordered else named.take(order)
