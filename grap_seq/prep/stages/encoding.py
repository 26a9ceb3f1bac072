"""Cleaned events to coded sequences. `prepare` and `encode` share these expressions.

Vocabularies and scalers enter as small tables to join with: numbers written into a query would go
through an engine's decimal literals and could lose their last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.folder.state import Scaler, State, Statistics


def code(events: ir.Table, name: str, values: Sequence[str | None]) -> ir.Table:
    """Replace column `name` by its codes: 1..n in the order of `values`, n + 1 for all others."""
    known = [(value, number) for number, value in enumerate(values, 1) if value is not None]
    vocabulary = ibis.memtable(
        pa.table(
            {
                "__value": pa.array([value for value, _ in known], pa.string()),
                "__code": pa.array([number for _, number in known], pa.int32()),
            }
        )
    )
    rare = len(values) + 1
    missing = values.index(None) + 1 if None in values else rare
    joined = events.left_join(vocabulary, events[name] == vocabulary["__value"])
    other = ibis.ifelse(joined[name].isnull(), missing, rare)
    codes = ibis.coalesce(joined["__code"], other).cast("int32")
    return joined.mutate(**{name: codes}).drop("__value", "__code")


def signed_log(value: ir.FloatingValue) -> ir.FloatingValue:
    """sign(x) ln(1 + |x|)."""
    return value.sign() * (value.abs() + 1.0).ln()


def clip(value: ir.FloatingValue, low: ir.Value, high: ir.Value) -> ir.FloatingValue:
    """Null stays null, unlike with the engine's own LEAST and GREATEST."""
    return ibis.cases((value < low, low), (value > high, high), else_=value)


def scale(events: ir.Table, name: str, scaler: Scaler) -> ir.Table:
    """Replace column `name` by its standardised float32; NaN where it is missing."""
    rows: list[Statistics] = [group or scaler.other for group in scaler.groups]
    rows.append(scaler.other)
    statistics = ibis.memtable(
        pa.table(
            {
                "__code": pa.array(range(1, len(rows) + 1), pa.int32()),
                "__low": [row.low for row in rows],
                "__high": [row.high for row in rows],
                "__mean": [row.mean for row in rows],
                "__std": [row.std for row in rows],
            }
        )
    )
    if scaler.by is None:
        joined = events.cross_join(statistics)
    else:
        joined = events.join(statistics, events[scaler.by] == statistics["__code"])
    value = signed_log(joined[name]) if scaler.log else joined[name]
    clipped = clip(value, joined["__low"], joined["__high"])
    scaled = ((clipped - joined["__mean"]) / joined["__std"]).cast("float32")
    # Two kinds of zero would tie in the sort below and leave their order to chance.
    scaled = ibis.ifelse(scaled == 0, ibis.literal(0.0, "float32"), scaled)
    scaled = ibis.coalesce(scaled, ibis.literal(float("nan"), "float32"))
    return joined.mutate(**{name: scaled}).drop(*statistics.columns)


def encode_events(events: ir.Table, state: State, key: str) -> ir.Table:
    """Code and scale cleaned events: `key`, event_time, `__tie0`..., the fields in spec order."""
    fields = [*state.categorical, *state.numerical]
    # A missing key comes first in every engine.
    ties = {name: events[name].fill_null(float("-inf")) for name in state.spec.ties}
    events = events.select(key, "event_time", **ties, **{n: events[n] for n in fields})
    return _coded(events, state.categorical, state.numerical)


def encode_static(sequences: ir.Table, state: State) -> ir.Table:
    """Code and scale the static fields of sequences, in place."""
    return _coded(sequences, state.static_categorical, state.static_numerical)


def _coded(
    table: ir.Table,
    categorical: Mapping[str, Sequence[str | None]],
    numerical: Mapping[str, Scaler],
) -> ir.Table:
    for name, values in categorical.items():
        table = code(table, name, values)
    for name, scaler in numerical.items():
        table = scale(table, name, scaler)
    return table
