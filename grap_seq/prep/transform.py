"""New raw events through the vocabularies and scalers of a prepared folder or of a run.

The same expressions as in preparation: training and use cannot differ.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.clean import as_number, as_text, check_time_kind, clean, time_kind
from grap_seq.prep.encoding import encode_events
from grap_seq.prep.engine import connect
from grap_seq.prep.grouping import group_events, with_id
from grap_seq.prep.labels import read_labels
from grap_seq.prep.lists import explode
from grap_seq.prep.problems import Problems, check_events
from grap_seq.prep.recipes import load_recipe
from grap_seq.prep.state import State
from grap_seq.prep.tables import read_table, require_columns, to_arrow

if TYPE_CHECKING:
    import pandas as pd

# Below this many events a column of unseen values is no sign of a different coding.
MIN_EVENTS_TO_WARN = 20


def encode(events: Any, folder_or_state: Path | str | State) -> pa.Table:
    """Code raw events as `prepare` did.

    Args:
        events: pandas, polars or pyarrow table, a list of records (one a sequence, an array a
            field), or the path of a CSV or parquet file, with the columns of the dataset's YAML
            description (the label is not needed).
        folder_or_state: prepared folder, run folder, or the state itself.

    Returns:
        One row a sequence, sorted by id: the id, event_time and one list column a field.

    Raises:
        ValueError: no events, a missing column, a null id or time, or a cell that cannot be read.
        FileNotFoundError: no such folder or file.
    """
    state = folder_or_state
    if not isinstance(state, State):
        state = State.load(Path(state))
    spec = state.spec
    connection = connect()
    try:
        where = "events"
        if isinstance(events, str | Path):
            where = str(events)
            table = read_table(connection, Path(events))
        else:
            given = to_arrow(events)
            rows = pa.array(range(1, given.num_rows + 1), pa.int64())
            table = ibis.memtable(given.append_column("__row", rows))
            table = table.mutate(__file=ibis.literal(where))
        with connection.clear_errors(f"reading {where}"):
            table = explode(connection, table, spec.event_columns, where)
        require_columns(table, spec.columns, where)
        check_time_kind(connection, table, spec, state.time_kind, where)
        with connection.clear_errors(f"reading {where}"):
            cleaned = connection.to_pyarrow(clean(table, spec, state.time_kind))
        if not cleaned.num_rows:
            raise ValueError(f"{where}: the table has no events")
        cleaned = cleaned.append_column("__position", pa.array(range(cleaned.num_rows)))
        numbered = ibis.memtable(cleaned)
        problems = Problems(connection, strict=True, remedy="correct or remove the row")
        check_events(connection, numbered, spec, problems)
        with connection.clear_errors(f"coding {where}"):
            coded = encode_events(numbered, state, spec.id)
            grouped = group_events(connection, coded, state, spec.id)
    finally:
        connection.disconnect()
    _warn_unseen(grouped, state, where)
    try:
        return with_id(grouped[spec.id], grouped, state)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{where}: ids of '{spec.id}' were integers in preparation, these are not ({error})"
        ) from error


def _warn_unseen(sequences: pa.Table, state: State, where: str) -> None:
    for name, values in state.categorical.items():
        codes = pc.list_flatten(sequences[name])
        if len(codes) >= MIN_EVENTS_TO_WARN and pc.min(codes).as_py() == len(values) + 1:
            warnings.warn(
                f"{where}: no value of '{name}' occurred in the training data; is it written "
                f"differently there ({', '.join(map(repr, values[:3]))}, ...)?",
                stacklevel=3,
            )


def read_events(dataset: str, source: Path | None = None, spec: Path | None = None) -> pd.DataFrame:
    """The events table that a recipe makes, by id and time, with the label joined to each event.

    A dataset with several labels a sequence comes without them.

    Raises:
        ValueError, FileNotFoundError: as in `prepare`.
    """
    recipe = load_recipe(dataset, source, spec)
    recipe.files(source)
    chosen = recipe.spec
    connection = connect()
    try:
        with connection.clear_errors(f"reading the {chosen.name} events"):
            tables = recipe.read(connection, source)
            events = recipe.events(tables)
            events = explode(connection, events, chosen.event_columns, chosen.name)
            require_columns(events, chosen.columns, chosen.name)
            columns = [*chosen.columns]
            events = events.mutate(
                **{name: as_number(events[name], name) for name in chosen.numerical},
                __text=as_text(events[chosen.id]),
            )
            kind = time_kind(connection, events, chosen)
            labels = read_labels(connection, recipe, tables, kind)
            if labels is not None and not chosen.local_labels:
                named = {name: labels[place] for place, name in chosen.label_columns.items()}
                label = labels.select("__id", **named).distinct()
                events = events.left_join(label, events["__text"] == label["__id"])
            if not chosen.local_labels:
                columns += [name for name in chosen.label if name in events.columns]
            ordered = events.select(columns).order_by(chosen.id, chosen.time)
            frame: pd.DataFrame = connection.to_pyarrow(ordered).to_pandas()
            return frame
    finally:
        connection.disconnect()
