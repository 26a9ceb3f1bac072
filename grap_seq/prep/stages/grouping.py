"""Coded events to sequences: sorted by number and time, cut into lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grap_seq.prep.folder.state import State
from grap_seq.prep.stages.encoding import encode_events

Array = NDArray[Any]
# One digit of a number: what numpy sorts by counting.
DIGIT = 16
# Begins the name of a column that holds cells as they were read.
CELL = "__cell:"


def group_events(
    events: pa.Table, numbers: Array, state: State, keep: Sequence[str] = ()
) -> pa.Table:
    """One row a sequence, in the order of their numbers: a list column for time and every field.

    Events are sorted by time, `tie_order`, then all fields in spec order: by every column, which
    makes the result independent of the order in which events come.

    Args:
        events: cleaned: event_time, `__tie0`..., the fields; N rows.
        numbers: sequence of each event, 0..S-1, each of which occurs, shape (N,).
        state: vocabularies and scalers.
        keep: columns of the events that are wanted as they are too, as lists behind the others.
    """
    times = events["event_time"].to_numpy()
    # A missing key comes first.
    ties = [pc.fill_null(events[name], float("-inf")).to_numpy() for name in state.spec.ties]
    values: dict[str, Array] = {"event_time": times, **encode_events(events, state)}
    order = sorted_by(numbers, times, [*ties, *list(values.values())[1:]])
    # offsets: (S + 1,)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers))]).astype(np.int32)
    values = {name: column[order] for name, column in values.items()}
    if state.spec.relative_time:
        times = values["event_time"]
        values["event_time"] = times - np.repeat(times[offsets[:-1]], np.diff(offsets))
    kinds = list_types(state)
    places = pa.array(offsets)
    grouped = pa.Table.from_arrays(
        [
            pa.ListArray.from_arrays(places, pa.array(values[name])).cast(kinds.field(name).type)
            for name in kinds.names
        ],
        schema=kinds,
    )
    for name in keep:
        kept = events[name].combine_chunks().take(pa.array(order))
        grouped = grouped.append_column(CELL + name, pa.ListArray.from_arrays(places, kept))
    return grouped


def sorted_by(numbers: Array, times: Array, rest: Sequence[Array]) -> Array:
    """The order by number, then time, then the rest, shape (N,).

    Few events share sequence and time: a further column is only looked at where all before it are
    equal. NaN comes last and equals NaN.
    """
    order = np.argsort(times)
    for shift in range(0, max(1, int(numbers.max(initial=0)).bit_length()), DIGIT):
        digit = ((numbers[order] >> shift) & (2**DIGIT - 1)).astype(np.uint16)
        order = order[np.argsort(digit, kind="stable")]
    # Whether the event at a place differs from the one before it, shape (N,).
    differs = np.ones(len(order), bool)
    differs[1:] = (np.diff(numbers[order]) != 0) | (np.diff(times[order]) != 0)
    for key in rest:
        tied = np.flatnonzero(~(differs & np.append(differs[1:], True)))
        if not len(tied):
            break
        events = order[tied]
        events = events[np.lexsort((key[events], np.cumsum(differs[tied])))]
        order[tied] = events
        one, other = key[events[:-1]], key[events[1:]]
        differs[tied[1:]] |= (one != other) & ((one == one) | (other == other))
    return order


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
    """The sequences with `ids` in front, in the type that prepared folders have, sorted by them.

    Raises:
        pyarrow.ArrowInvalid: text ids where preparation had integers.
    """
    kind = {"int64": pa.int64(), "string": pa.string()}[state.id_type]
    ids = ids.cast(kind)
    order = pc.sort_indices(ids)
    named = sequences.add_column(0, state.spec.id, ids)
    ordered = order.equals(pa.array(range(len(ids)), pa.uint64()))
    return named if ordered else named.take(order)
