"""Vocabularies and scalers, fitted on training events.

The results do not depend on the order of events or the number of threads: quantiles come from a
sort, and sums are taken over integers (values mapped to a grid across their clip range), because a
sum of floats changes with its order.

A query fits some fields at once: one for each would read the events as many times, and one for all
would be planned in more than linear time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec_parts import Numerical
from grap_seq.prep.folder.state import Scaler, Statistics

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

MAX_VALUES = 10_000
# Fields of a query.
FIELDS = 16
# Numbers whose quantiles are found at once: engines hold them in memory, 8 bytes each.
MAX_NUMBERS = 8_000_000
# Sums of n values of at most 2**b stay below 2**63 for b = 62 - log2(n); more digits say nothing.
SUM_BITS, GRID_BITS = 62, 38
EMPTY = Statistics(low=0.0, high=0.0, mean=0.0, std=1.0, count=0)

# Statistics of a number by the value of a categorical field, or by None where there is no field.
Groups = dict[str | None, Statistics]


def fit_vocabularies(
    connection: Connection, events: ir.Table, names: Sequence[str]
) -> dict[str, tuple[str | None, ...]]:
    """Values of categorical fields by falling count, ties by value with missing last."""
    found: dict[str, list[str | None]] = {name: [] for name in names}
    for block in _blocks(names, FIELDS):
        # Every part of the union would bring the names of all columns.
        part = events.select(*block)
        for row in connection.to_pyarrow(_most_frequent(part, block)).to_pylist():
            found[block[row["field"]]].append(row["value"])
    return {name: tuple(values) for name, values in found.items()}


def _most_frequent(events: ir.Table, names: Sequence[str]) -> ir.Table:
    """`field`, the place of its name, and `value`, in the order of a vocabulary."""
    counts = ibis.union(
        *(
            events.group_by(value=events[name])
            .aggregate(n=events.count())
            .mutate(field=ibis.literal(place, "int32"))
            for place, name in enumerate(names)
        )
    )
    falling = [ibis.desc("n"), ibis.asc("value", nulls_first=False)]
    placed = counts.mutate(
        place=ibis.row_number().over(ibis.window(group_by="field", order_by=falling))
    )
    kept = placed.filter(placed["place"] < MAX_VALUES).order_by("field", "place")
    return kept.select("field", "value")


def fit_scalers(
    connection: Connection,
    events: ir.Table,
    options: Mapping[str, Numerical],
    categorical: Mapping[str, Sequence[str | None]],
) -> dict[str, Scaler]:
    """Quantile bounds, mean and deviation of numerical fields, over all and by category.

    Args:
        connection: where the events are.
        events: cleaned ones.
        options: how each field is scaled.
        categorical: vocabularies of the fields that numbers are scaled by.
    """
    if not options:
        return {}
    count = connection.to_pyarrow(events.count()).as_py()
    size = min(FIELDS, max(1, MAX_NUMBERS // max(1, count)))
    whole = _statistics(connection, events, options, None, size)
    by: dict[str, Groups] = {}
    for field in dict.fromkeys(option.by for option in options.values()):
        if field is not None:
            part = {name: option for name, option in options.items() if option.by == field}
            by |= _statistics(connection, events, part, field, size)
    scalers = {}
    for name, option in options.items():
        other = whole[name].get(None, EMPTY)
        values = () if option.by is None else categorical[option.by]
        groups = tuple(by[name].get(value) for value in values)
        missing = count - other.count
        scalers[name] = Scaler(option.log, option.by, other, groups, missing)
    return scalers


def _blocks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _statistics(
    connection: Connection,
    events: ir.Table,
    options: Mapping[str, Numerical],
    by: str | None,
    size: int,
) -> dict[str, Groups]:
    """Statistics of numbers by the values of a field, `size` numbers at a time."""
    found: dict[str, Groups] = {}
    for names in _blocks(list(options), size):
        numbers: dict[str, ir.Value] = {
            f"x{place}": _signed_log(events[name]) if options[name].log else events[name]
            for place, name in enumerate(names)
        }
        group = {} if by is None else {"group": events[by]}
        rows = events.select(**group, **numbers)
        clips = [options[name].clip for name in names]
        found |= dict(zip(names, _of_block(connection, rows, clips), strict=True))
    return found


def _signed_log(value: ir.FloatingValue) -> ir.FloatingValue:
    """sign(x) ln(1 + |x|)."""
    return value.sign() * (value.abs() + 1.0).ln()


def _of_block(
    connection: Connection, rows: ir.Table, clips: Sequence[tuple[float, float]]
) -> list[Groups]:
    """Bounds at two quantiles, mean and deviation between them, of `x0`, `x1`... by `group`.

    Groups without a number are left out.
    """
    by = [name for name in rows.columns if name == "group"]
    bounds = connection.to_pyarrow(
        rows.aggregate(
            by=by,
            **{
                f"{what}{place}": value
                for place, (low, high) in enumerate(clips)
                for what, value in {
                    "low": rows[f"x{place}"].quantile(low),
                    "high": rows[f"x{place}"].quantile(high),
                    "n": rows[f"x{place}"].count(),
                }.items()
            },
        )
    ).to_pylist()
    counts = [sum(row[f"n{place}"] for row in bounds) for place in range(len(clips))]
    grids = [_grid(count) for count in counts]
    sums = _sums(connection, rows, bounds, grids)
    return [
        {
            group: _of_group(row, sums[group], place, grid)
            for group, row in ((row.get("group"), row) for row in bounds)
            if row[f"n{place}"]
        }
        for place, grid in enumerate(grids)
    ]


def _grid(count: int) -> int:
    """Steps between the bounds of `count` numbers, whose sum an integer of 64 bits holds."""
    return 1 << min(GRID_BITS, SUM_BITS - math.ceil(math.log2(max(1, count))))


def _sums(
    connection: Connection, rows: ir.Table, bounds: list[dict[str, Any]], grids: Sequence[int]
) -> dict[str | None, dict[str, Any]]:
    """Exact sums of the places of clipped numbers between their bounds and of the places' squares,
    in steps of 1 / grid, by group.
    """
    by = [name for name in rows.columns if name == "group"]
    table: dict[str, list[Any]] = {f"own_{name}": [row[name] for row in bounds] for name in by}
    for place in range(len(grids)):
        lows = [row[f"low{place}"] or 0.0 for row in bounds]
        widths = [(row[f"high{place}"] or 0.0) - low for row, low in zip(bounds, lows, strict=True)]
        table[f"low{place}"] = lows
        # Of equal numbers every place is 0.
        table[f"width{place}"] = [width or 1.0 for width in widths]
    kinds = {name: "string" if name.startswith("own_") else "float64" for name in table}
    known = ibis.memtable(table, schema=kinds)
    same = [rows[name].identical_to(known[f"own_{name}"]) for name in by]
    joined = rows.join(known, same) if by else rows.cross_join(known)
    totals: dict[str, ir.Value] = {}
    for number, grid in enumerate(grids):
        x = (joined[f"x{number}"] - joined[f"low{number}"]) / joined[f"width{number}"]
        x = ibis.cases((x < 0.0, 0.0), (x > 1.0, 1.0), else_=x)
        totals[f"sum{number}"] = (x * float(grid)).round().cast("int64").sum()
        totals[f"squares{number}"] = (x * x * float(grid)).round().cast("int64").sum()
    found = connection.to_pyarrow(joined.aggregate(by=by, **totals)).to_pylist()
    return {row.get("group"): row for row in found}


def _of_group(
    bounds: Mapping[str, Any], sums: Mapping[str, Any], number: int, grid: int
) -> Statistics:
    low, high, n = (bounds[f"{name}{number}"] for name in ("low", "high", "n"))
    total, squares = int(sums[f"sum{number}"]), int(sums[f"squares{number}"])
    # Integers: what is left of two large numbers is exact.
    variance = max(0, squares * n * grid - total**2) / (n * grid) ** 2
    mean = low + (high - low) * (total / (n * grid))
    # A constant column has no deviation: 1 leaves it at zero after centring.
    return Statistics(low, high, mean, (high - low) * math.sqrt(variance) or 1.0, n)
