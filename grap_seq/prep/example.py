"""One event as a description has it, in the types that data frames mostly have."""

from __future__ import annotations

import pyarrow as pa

from grap_seq.prep.folder.state import State


def example(state: State) -> pa.Table:
    """A row whose fields are all missing."""
    spec = state.spec
    time = pa.array([0], pa.float64() if state.time_kind == "number" else pa.timestamp("us"))
    columns: dict[str, pa.Array] = {
        spec.id: pa.array([0], pa.int64()).cast(state.id_type),
        spec.time: time,
        **{name: pa.nulls(1, pa.float64()) for name in (*spec.tie_order, *spec.numerical)},
        **{name: pa.nulls(1, pa.string()) for name in spec.categorical},
        **{name: pa.nulls(1, pa.float64()) for name in spec.static.numerical},
        **{name: pa.nulls(1, pa.string()) for name in spec.static.categorical},
    }
    if spec.until_column is not None:
        columns[spec.until_column] = time
    return pa.table(columns)
