"""What fitting computes with in the engine: codes of text, the signed logarithm, clipping.

Vocabularies enter as small tables to join with: values written into a query would go through an
engine's literals.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa


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
