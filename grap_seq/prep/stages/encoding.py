"""Cleaned events to codes and standardised numbers. `prepare` and `encode` share this.

The engine takes logarithms and Arrow and NumPy do the rest, a column at a time: a join with every
vocabulary would nest one query in the other, and engines refuse some dozens of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grap_seq.prep.folder.state import Scaler, State, Statistics


def signed_log(value: ir.FloatingValue) -> ir.FloatingValue:
    """sign(x) ln(1 + |x|)."""
    return value.sign() * (value.abs() + 1.0).ln()


def clip(value: ir.FloatingValue, low: ir.Value, high: ir.Value) -> ir.FloatingValue:
    """Null stays null, unlike with the engine's own LEAST and GREATEST."""
    return ibis.cases((value < low, low), (value > high, high), else_=value)


def ready_events(events: ir.Table, state: State, key: str) -> ir.Table:
    """What `encode` needs of cleaned events: `key`, event_time, `__tie0`..., the fields."""
    # A missing key comes first in every engine.
    ties = {name: events[name].fill_null(float("-inf")) for name in state.spec.ties}
    fields = {name: events[name] for name in state.categorical}
    return events.select(key, "event_time", **ties, **fields, **_logs(events, state.numerical))


def ready_static(sequences: ir.Table, state: State) -> ir.Table:
    """Sequences with their static fields as `encode` needs them."""
    return sequences.mutate(**_logs(sequences, state.static_numerical))


def _logs(table: ir.Table, numerical: Mapping[str, Scaler]) -> dict[str, ir.Value]:
    return {
        name: signed_log(table[name]) if scaler.log else table[name]
        for name, scaler in numerical.items()
    }


def encode(
    table: pa.Table,
    categorical: Mapping[str, Sequence[str | None]],
    numerical: Mapping[str, Scaler],
) -> pa.Table:
    """Code and scale the fields of a table of `ready_events` or `ready_static`, in place."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns |= {name: code(columns[name], values) for name, values in categorical.items()}
    for name, scaler in numerical.items():
        codes = None if scaler.by is None else columns[scaler.by]
        columns[name] = scale(columns[name], scaler, codes)
    return pa.table(columns)


def code(column: pa.ChunkedArray, values: Sequence[str | None]) -> pa.ChunkedArray:
    """Codes, int32: 1..n in the order of `values`, n + 1 for all others."""
    places = pc.index_in(column, pa.array(values, pa.string()))
    return pc.add(places.fill_null(len(values)), pa.scalar(1, pa.int32()))


def scale(column: pa.ChunkedArray, scaler: Scaler, codes: pa.ChunkedArray | None) -> pa.Array:
    """Standardised float32; NaN where it is missing. `codes` are those of the scaler's `by`."""
    rows: list[Statistics] = [group or scaler.other for group in scaler.groups]
    rows.append(scaler.other)
    low, high, mean, std = np.array([(row.low, row.high, row.mean, row.std) for row in rows]).T
    place: NDArray[np.int32] | int = 0 if codes is None else codes.to_numpy() - 1
    value = column.cast(pa.float64()).to_numpy()
    clipped = np.where(value < low[place], low[place], value)
    clipped = np.where(value > high[place], high[place], clipped)
    scaled = ((clipped - mean[place]) / std[place]).astype(np.float32)
    # Two kinds of zero would tie in a sort and leave their order to chance.
    return pa.array(scaled + np.float32(0))
