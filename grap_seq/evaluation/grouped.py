"""Statistics of many groups of values at once, without a loop over the groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = dict[str, Array]

RECENT = 10
"""Values that count as the recent ones."""


@dataclass(frozen=True)
class Histories:
    """Where the events of R histories stand that lie one behind the other, N in all.

    Attributes:
        lengths: Events of each history, shape (R,).
        row: History of each event, shape (N,).
        place: Place of each event in its history, shape (N,).
    """

    lengths: Array
    row: Array
    place: Array

    @classmethod
    def of(cls, lengths: Array) -> Histories:
        row = np.repeat(np.arange(len(lengths)), lengths)
        return cls(lengths, row, np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row])

    def of_events(self, values: Array, place: Array | int) -> Array:
        """Values of the events at a place in each history, shape (R,); NaN without events."""
        result = np.full(len(self.lengths), np.nan)
        place = np.broadcast_to(place, self.lengths.shape)
        result[self.lengths > 0] = values[self.place == place[self.row]]
        return result


def statistics(values: Array, group: Array, groups: int) -> Columns:
    """Statistics of the observed values of each group, arrays of shape (groups,).

    Args:
        values: (N,) in the order of time within a group; NaN where missing.
        group: (N,) numbers of the groups.
        groups: Number of groups.

    Returns:
        count, sum, mean, std, min, max, last; `recent`, the mean of the last 10 values; and
        `trend`, the mean of the second half of the values minus that of the first.
    """
    values, group, count, first = _sorted_by_group(values, group, groups)
    some = count > 0
    start = first[some]
    left = count[group] - (np.arange(len(values)) - first[group])  # the value itself included

    def total(chosen: Array) -> tuple[Array, Array]:
        number = np.bincount(group[chosen], minlength=groups)
        return np.bincount(group[chosen], values[chosen], groups), number

    def spread(found: Array) -> Array:
        result = np.full(groups, np.nan)
        result[some] = found
        return result

    everything = np.bincount(group, values, groups)
    mean = ratio(everything, count)
    second = total(2 * left <= count[group])
    earlier = ratio(everything - second[0], count - second[1])
    return {
        "count": count,
        "sum": everything,
        "mean": mean,
        "std": np.sqrt(ratio(np.bincount(group, (values - mean[group]) ** 2, groups), count)),
        "min": spread(np.minimum.reduceat(values, start) if len(start) else start),
        "max": spread(np.maximum.reduceat(values, start) if len(start) else start),
        "last": spread(values[start + count[some] - 1]),
        "recent": ratio(*total(left <= RECENT)),
        "trend": ratio(*second) - earlier,
    }


def quantiles(values: Array, group: Array, groups: int) -> Columns:
    """Deciles 1, 5 and 9 of the observed values of each group, between two by interpolation."""
    order = np.argsort(values, kind="stable")
    values, _, count, first = _sorted_by_group(values[order], group[order], groups)
    some = count > 0
    found = {}
    for decile in (1, 5, 9):
        place = (count[some] - 1) * decile / 10
        low = first[some] + np.floor(place).astype(int)
        high = first[some] + np.ceil(place).astype(int)
        column = np.full(groups, np.nan)
        column[some] = values[low] + (place % 1) * (values[high] - values[low])
        found[f"q{decile}0"] = column
    return found


def _sorted_by_group(values: Array, group: Array, groups: int) -> tuple[Array, Array, Array, Array]:
    """Observed values and their groups in the groups' order, sizes of the groups, first places."""
    observed = ~np.isnan(values)
    values, group = values[observed].astype(np.float64), group[observed]
    order = np.argsort(group, kind="stable")
    count = np.bincount(group, minlength=groups)
    return values[order], group[order], count, np.cumsum(count) - count


def ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = np.where(denominator > 0, numerator / denominator, np.nan)
    return result
