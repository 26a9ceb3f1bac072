"""One event as a description has it, in the types that data frames mostly have."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

from grap_seq.prep.folder.state import State

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def example(state: State) -> pa.Table:
    """A row whose fields are missing."""
    spec = state.spec
    time = pa.array([0], pa.float64() if state.time_kind == "number" else pa.timestamp("us"))
    columns: dict[str, pa.Array] = {
        spec.id: pa.array([0], pa.int64()).cast(state.id_type),
        spec.time: time,
        **{name: pa.nulls(1, pa.float64()) for name in (*spec.tie_order, *spec.numerical)},
        **{name: _value(state.categorical[name]) for name in spec.categorical},
        **{name: pa.nulls(1, pa.float64()) for name in spec.static.numerical},
        **{name: _value(known) for name, known in state.static_categorical.items()},
    }
    if spec.until_column is not None:
        columns[spec.until_column] = time
    return pa.table(columns)


def _value(vocabulary: Iterable[str | None]) -> pa.Array:
    """A missing text, or an integer where all values look like one.

    A data frame has no column of integers with missing ones.
    """
    known = [value for value in vocabulary if value is not None]
    integers = bool(known) and all(INTEGER.fullmatch(value) for value in known)
    return pa.array([0]) if integers else pa.nulls(1, pa.string())
