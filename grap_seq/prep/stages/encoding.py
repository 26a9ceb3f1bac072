"""Cleaned values to codes and standardised numbers. `prepare` and `encode` share these functions.

The engine hands the events of a bucket over once, and its own arithmetic ends there: what is coded
is the same whichever engine has read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grap_seq.prep.folder.state import Scaler, State

# An Arrow array, in one piece or several.
Column = Any
Values = NDArray[np.float64]
Codes = NDArray[np.int32]
Numbers = NDArray[np.float32]


def codes_of(column: Column, values: Sequence[str | None]) -> Codes:
    """Codes of text, shape (N,): 1..n in the order of `values`, n + 1 for all others.

    A missing value is one of `values` where None is among them.
    """
    known = pc.index_in(column, value_set=pa.array(values, pa.string()))
    codes: Codes = pc.fill_null(known, len(values)).to_numpy() + np.int32(1)
    return codes


def signed_log(values: Values) -> Values:
    """sign(x) ln(1 + |x|), shape (N,)."""
    logs: Values = np.sign(values) * np.log(np.abs(values) + 1.0)
    return logs


def scaled(column: Column, scaler: Scaler, groups: Codes | None) -> Numbers:
    """Standardised numbers, shape (N,); NaN where one is missing.

    Args:
        column: the numbers.
        scaler: of the field.
        groups: codes of the field that it is scaled by, shape (N,); None: there is none.
    """
    # In place from here on: to ask for memory takes longer than to calculate.
    values = np.array(np.asarray(column.cast(pa.float64())), np.float64)
    rows = [*(group or scaler.other for group in scaler.groups), scaler.other]
    place = slice(0, 1) if groups is None else groups - 1
    low, high, mean, std = (
        np.array([getattr(row, name) for row in rows])[place]
        for name in ("low", "high", "mean", "std")
    )
    if scaler.log:
        values = signed_log(values)
    np.clip(values, low, high, out=values)
    values -= mean
    values /= std
    numbers: Numbers = values.astype(np.float32)
    # Two kinds of zero, or of NaN, would be told apart where events are sorted by them.
    numbers[numbers == 0] = 0
    numbers[np.isnan(numbers)] = np.nan
    return numbers


def encode_events(events: pa.Table, state: State) -> dict[str, Codes | Numbers]:
    """Codes and standardised numbers of every field, shape (N,) each, in spec order."""
    return _encode(events, state.categorical, state.numerical)


def encode_static(sequences: pa.Table, state: State) -> dict[str, Codes | Numbers]:
    """The same of every static field, shape (S,) each."""
    return _encode(sequences, state.static_categorical, state.static_numerical)


def _encode(
    table: pa.Table,
    categorical: Mapping[str, Sequence[str | None]],
    numerical: Mapping[str, Scaler],
) -> dict[str, Codes | Numbers]:
    codes = {name: codes_of(table[name], values) for name, values in categorical.items()}
    return codes | {
        name: scaled(table[name], scaler, None if scaler.by is None else codes[scaler.by])
        for name, scaler in numerical.items()
    }
