"""Vocabularies and scalers, fitted on training events.

The results do not depend on the order of events or the number of threads: quantiles come from a
sort, and sums are taken over integers (values mapped to a grid across their clip range), because a
sum of floats changes with its order.

All fields are fitted in one query each for vocabularies, quantiles, means and deviations. It reads
the events once, as one row a cell: an aggregate beside the other would be planned a field at a
time, and a query for each field would read the events as many times.
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
# Numbers whose quantiles are found at once: engines hold them in memory, 8 bytes each.
MAX_NUMBERS = 16_000_000
# Sums of n values of at most 2**b stay below 2**63 for b = 62 - log2(n); more digits say nothing.
SUM_BITS, GRID_BITS = 62, 38
EMPTY = Statistics(low=0.0, high=0.0, mean=0.0, std=1.0, count=0)

# A number over all events (None), or by a categorical field.
Entry = tuple[str, str | None]
# The place of an entry, and a value of its categorical field.
Group = tuple[int, str | None]


def fit_vocabularies(
    connection: Connection, events: ir.Table, names: Sequence[str]
) -> dict[str, tuple[str | None, ...]]:
    """Values of categorical fields by falling count, ties by value with missing last."""
    if not names:
        return {}
    cells = _cells([{"field": _place(i), "value": events[name]} for i, name in enumerate(names)])
    counts = cells.group_by("field", "value").aggregate(n=cells.count())
    falling = [ibis.desc("n"), ibis.asc("value", nulls_first=False)]
    placed = counts.mutate(
        place=ibis.row_number().over(ibis.window(group_by="field", order_by=falling))
    )
    kept = placed.filter(placed["place"] < MAX_VALUES).order_by("field", "place")
    found: dict[str, list[str | None]] = {name: [] for name in names}
    for row in connection.to_pyarrow(kept.select("field", "value")).to_pylist():
        found[names[row["field"]]].append(row["value"])
    return {name: tuple(values) for name, values in found.items()}


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
    found: dict[str, Scaler] = {}
    for names in _blocks(options, max(1, MAX_NUMBERS // max(1, count))):
        part = {name: options[name] for name in names}
        found |= _scalers(connection, events, part, categorical)
    return {name: found[name] for name in options}


def _blocks(options: Mapping[str, Numerical], size: int) -> Iterator[list[str]]:
    """Fields that share their quantiles, some at a time."""
    for quantiles in dict.fromkeys(option.clip for option in options.values()):
        names = [name for name, option in options.items() if option.clip == quantiles]
        yield from (names[start : start + size] for start in range(0, len(names), size))


def _scalers(
    connection: Connection,
    events: ir.Table,
    options: Mapping[str, Numerical],
    categorical: Mapping[str, Sequence[str | None]],
) -> dict[str, Scaler]:
    entries: list[Entry] = [(name, None) for name in options]
    entries += [(name, option.by) for name, option in options.items() if option.by is not None]
    cells = []
    for place, (name, by) in enumerate(entries):
        group = ibis.null("string") if by is None else events[by]
        x = _signed_log(events[name]) if options[name].log else events[name]
        cells.append({"entry": _place(place), "group": group, "x": x})
    (quantiles,) = {option.clip for option in options.values()}
    found, missing = _statistics(connection, _cells(cells), quantiles)
    scalers: dict[str, Scaler] = {}
    for place, (name, by) in enumerate(entries):
        if by is None:
            other = found.get((place, None), EMPTY)
            scaler = Scaler(options[name].log, None, other, missing=missing.get(place, 0))
        else:
            groups = tuple(found.get((place, value)) for value in categorical[by])
            whole = scalers[name]
            scaler = Scaler(whole.log, by, whole.other, groups, whole.missing)
        scalers[name] = scaler
    return scalers


def _signed_log(value: ir.FloatingValue) -> ir.FloatingValue:
    """sign(x) ln(1 + |x|)."""
    return value.sign() * (value.abs() + 1.0).ln()


def _clip(value: ir.FloatingValue, low: ir.Value, high: ir.Value) -> ir.FloatingValue:
    """Null stays null, unlike with the engine's own LEAST and GREATEST."""
    return ibis.cases((value < low, low), (value > high, high), else_=value)


def _place(number: int) -> ir.IntegerScalar:
    return ibis.literal(number, "int32")


def _cells(structs: list[dict[str, ir.Value]]) -> ir.Table:
    """Each event's structs as rows of their own."""
    lists = ibis.array([ibis.struct(struct) for struct in structs]).name("cells")
    # In a query of its own: DuckDB would repeat all other columns of the events for every cell.
    table = lists.as_table()
    rows = table.select(cell=table["cells"].unnest())
    return rows.select(**{name: rows["cell"][name] for name in structs[0]})


def _statistics(
    connection: Connection, rows: ir.Table, quantiles: tuple[float, float]
) -> tuple[dict[Group, Statistics], dict[int, int]]:
    """Bounds at two quantiles, and mean and deviation between them, of `x` of every group.

    Returns:
        Statistics of groups with numbers, and missing numbers by entry.
    """
    bounds = rows.group_by("entry", "group").aggregate(
        low=rows["x"].quantile(quantiles[0]),
        high=rows["x"].quantile(quantiles[1]),
        n=rows["x"].count(),
        missing=rows["x"].isnull().sum(),
    )
    groups = connection.to_pyarrow(bounds).to_pylist()
    missing, counts = dict[int, int](), dict[int, int]()
    for row in groups:
        entry = row["entry"]
        missing[entry] = missing.get(entry, 0) + row.pop("missing")
        counts[entry] = counts.get(entry, 0) + row["n"]
    groups = [row for row in groups if row["n"]]
    for number, row in enumerate(groups):
        bits = min(GRID_BITS, SUM_BITS - math.ceil(math.log2(counts[row["entry"]])))
        row |= {"number": number, "grid": 2.0**bits}
    spread = [row for row in groups if row["high"] > row["low"]]
    means = _sums(connection, rows, [{**row, "mean": 0.0} for row in spread], squared=False)
    for row in groups:
        row["mean"] = means.get(row["number"], 0) / (row["n"] * row["grid"])
    squares = _sums(connection, rows, spread, squared=True)
    found = {}
    for row in groups:
        low, high, n = row["low"], row["high"], row["n"]
        std = (high - low) * math.sqrt(squares.get(row["number"], 0) / (n * row["grid"]))
        mean = low + (high - low) * row["mean"]
        # A constant column has no deviation: 1 leaves it at zero after centring.
        found[row["entry"], row["group"]] = Statistics(low, high, mean, std or 1.0, n)
    return found, missing


def _sums(
    connection: Connection, rows: ir.Table, groups: list[dict[str, Any]], *, squared: bool
) -> dict[int, int]:
    """Exact sums of the places of clipped numbers between their bounds, or of the squares of their
    distances from the mean, rounded to multiples of 1 / grid, by the group's number.
    """
    if not groups:
        return {}
    names = {"entry": "int32", "group": "string", "number": "int32"}
    names |= dict.fromkeys(("low", "high", "grid", "mean"), "float64")
    table = ibis.memtable([[row[name] for name in names] for row in groups], schema=names)
    table = table.rename(own="entry", value="group")
    same = [rows["entry"] == table["own"], rows["group"].identical_to(table["value"])]
    joined = rows.filter(rows["x"].notnull()).join(table, same)
    low, high = joined["low"], joined["high"]
    place = (_clip(joined["x"], low, high) - low) / (high - low)
    if squared:
        place = (place - joined["mean"]) * (place - joined["mean"])
    steps = joined.select("number", steps=(place * joined["grid"]).round().cast("int64"))
    sums = steps.group_by("number").aggregate(total=steps["steps"].sum())
    return {row["number"]: row["total"] for row in connection.to_pyarrow(sums).to_pylist()}
