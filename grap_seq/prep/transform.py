"""New raw events through the vocabularies and scalers of a prepared folder or of a run.

The same expressions as in preparation: training and use cannot differ.
"""

from __future__ import annotations

import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grap_seq.prep.coder import Coder
from grap_seq.prep.describe.recipes import load_recipe
from grap_seq.prep.drift import Drift, DriftWarning
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import require_columns
from grap_seq.prep.shares import Counter
from grap_seq.prep.stages.cells import as_number, as_text, without_missing
from grap_seq.prep.stages.clean import clean, described, used
from grap_seq.prep.stages.label_source import label_file, recipe_labels
from grap_seq.prep.stages.times import time_kind

if TYPE_CHECKING:
    import pandas as pd


def encode(
    events: Any, folder_or_state: Path | str | State, until: str | float | date | None = None
) -> pa.Table:
    """Code raw events as `prepare` did.

    Args:
        events: pandas, polars or pyarrow table, a list of records (one a sequence, an array a
            field), or the path of a CSV or parquet file, with the columns of the dataset's YAML
            description (the label is not needed).
        folder_or_state: prepared folder, run folder, or the state itself.
        until: up to when these events were observed, as in a description: a date, a number, a
            column of theirs or "newest". None: what the description says.

    Returns:
        One row a sequence, sorted by id: the id, event_time, one list column a field, then static
        fields and `until` where the description has any.

    Raises:
        ValueError: no events, a missing column, a null id or time, a cell that cannot be read, an
            event after `until`, or an `until` for a description without one.
        FileNotFoundError: no such folder or file.
    """
    state = folder_or_state
    coder = Coder(state if isinstance(state, State) else State.load(Path(state)))
    try:
        rows = coder.encode(events, until)
    finally:
        coder.close()
    drift = Drift(Counter(coder.state).count(rows.to_batches()), None, coder.state)
    for sentence in drift.sentences():
        where = str(events) if isinstance(events, str | Path) else "events"
        warnings.warn(f"{where}: {sentence}", DriftWarning, stacklevel=2)
    return rows


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
            events = connection.held(events)
            kind = time_kind(connection, events, chosen)
            labels = label_file(connection, recipe, kind)
            if labels is None and chosen.label and recipe.labelled(source):
                cleaned = clean(events, chosen, kind)
                labels = used(recipe_labels(connection, recipe, tables, cleaned, kind))
            columns = [*chosen.columns]
            events = without_missing(used(events), described(chosen), chosen.na_values)
            events = events.mutate(
                **{
                    name: as_number(events[name], name, chosen.decimal) for name in chosen.numerical
                },
                __text=as_text(events[chosen.id]),
            )
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
