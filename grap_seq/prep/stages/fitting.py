"""Vocabularies and scalers, fitted on training events.

The results do not depend on the order of events or the number of threads: quantiles come from a
sort, and sums are taken over integers (values mapped to a grid across their clip range), because a
sum of floats changes with its order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec_parts import Numerical
from grap_seq.prep.folder.state import Scaler, Statistics
from grap_seq.prep.stages.expressions import clip, code, signed_log

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

MAX_VALUES = 10_000
# Sums of n values of at most 2**b stay below 2**63 for b = 62 - log2(n); more digits say nothing.
SUM_BITS, GRID_BITS = 62, 38


def fit_vocabulary(connection: Connection, events: ir.Table, name: str) -> tuple[str | None, ...]:
    """Values of a categorical field by falling count, ties by value with missing last."""
    counts = events.group_by(value=events[name]).aggregate(n=lambda t: t.count())
    ordered = counts.order_by(ibis.desc("n"), ibis.asc("value", nulls_first=False))
    values = connection.to_pyarrow(ordered.limit(MAX_VALUES).select("value"))
    return tuple(values["value"].to_pylist())


def fit_scaler(
    connection: Connection,
    events: ir.Table,
    name: str,
    options: Numerical,
    categorical: dict[str, tuple[str | None, ...]],
) -> Scaler:
    """Quantile bounds, mean and deviation of one numerical field, over all and by category."""
    key = "__key"
    if options.by is None:
        rows = events.select(**{key: ibis.literal(0), "x": events[name]})
    else:
        coded = code(events, options.by, categorical[options.by])
        rows = coded.select(**{key: coded[options.by], "x": coded[name]})
    missing = _count(connection, rows.filter(rows.x.isnull()))
    rows = rows.filter(rows.x.notnull())
    if options.log:
        rows = rows.mutate(x=signed_log(rows.x))
    quantiles = options.clip
    other = statistics(connection, rows.mutate(**{key: ibis.literal(0)}), quantiles).get(
        0, Statistics(low=0.0, high=0.0, mean=0.0, std=1.0, count=0)
    )
    if options.by is None:
        return Scaler(log=options.log, by=None, other=other, missing=missing)
    found = statistics(connection, rows, quantiles)
    known = range(1, len(categorical[options.by]) + 1)
    groups = tuple(found.get(number) for number in known)
    return Scaler(log=options.log, by=options.by, other=other, groups=groups, missing=missing)


def _count(connection: Connection, rows: ir.Table) -> int:
    counted = connection.to_pyarrow(rows.aggregate(n=rows.count()))
    return int(counted["n"][0].as_py())


def statistics(
    connection: Connection, rows: ir.Table, quantiles: tuple[float, float]
) -> dict[int, Statistics]:
    """Bounds at two quantiles, and mean and deviation between them, of `x` for each `__key`."""
    bounds = rows.group_by("__key").aggregate(
        low=rows.x.quantile(quantiles[0]),
        high=rows.x.quantile(quantiles[1]),
        n=rows.count(),
    )
    bounds = connection.to_pyarrow(bounds)
    if not bounds.num_rows:
        return {}
    bits = min(GRID_BITS, SUM_BITS - math.ceil(math.log2(sum(bounds["n"].to_pylist()))))
    table = ibis.memtable(bounds)
    joined = rows.join(table, "__key").filter(lambda t: t.high > t.low)
    position = (clip(joined.x, joined.low, joined.high) - joined.low) / (joined.high - joined.low)
    placed = joined.select("__key", position=position)
    grid = 2.0**bits
    means = _sums(connection, placed, placed.position, grid)
    entries = [(row["__key"], row["n"]) for row in bounds.to_pylist()]
    shares = {number: means.get(number, 0) / (n * grid) for number, n in entries}
    centre = ibis.memtable({"__key": list(shares), "mean": list(shares.values())})
    apart = placed.join(centre, "__key")
    deviation = apart.position - apart.mean
    squares = _sums(connection, apart, deviation * deviation, grid)
    found = {}
    for row in bounds.to_pylist():
        number, low, high, n = row["__key"], row["low"], row["high"], row["n"]
        std = (high - low) * math.sqrt(squares.get(number, 0) / (n * grid))
        mean = low + (high - low) * shares[number]
        # A constant column has no deviation: 1 leaves it at zero after centring.
        found[number] = Statistics(low=low, high=high, mean=mean, std=std or 1.0, count=n)
    return found


def _sums(
    connection: Connection, rows: ir.Table, value: ir.FloatingValue, grid: float
) -> dict[int, int]:
    """Exact sum of `value`, rounded to multiples of 1 / grid, for each key."""
    steps = rows.select("__key", steps=(value * grid).round().cast("int64"))
    sums = steps.group_by("__key").aggregate(total=steps.steps.sum())
    return {row["__key"]: row["total"] for row in connection.to_pyarrow(sums).to_pylist()}
