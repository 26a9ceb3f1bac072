"""New raw events through the vocabularies and scalers of a prepared folder or of a run.

The same expressions as in preparation: training and use cannot differ.
"""

from __future__ import annotations

import dataclasses
import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from grap_seq.prep.describe.recipes import load_recipe
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.folder.state import State
from grap_seq.prep.read.headers import check_names
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import read_table, require_columns, to_arrow
from grap_seq.prep.stages.cells import as_number, as_text, without_missing
from grap_seq.prep.stages.clean import check_ids, clean, described, used
from grap_seq.prep.stages.encoding import encode_static
from grap_seq.prep.stages.facts import facts_of_ids, require_facts, with_facts
from grap_seq.prep.stages.grouping import group_events, with_id
from grap_seq.prep.stages.label_source import label_file, recipe_labels
from grap_seq.prep.stages.problems import Problems, check_events
from grap_seq.prep.stages.times import check_time_kind, time_kind
from grap_seq.prep.stages.until import UNTIL as OBSERVED
from grap_seq.prep.stages.until import check_observed, common_until, with_until
from grap_seq.schema import UNTIL

if TYPE_CHECKING:
    import pandas as pd

    from grap_seq.prep.engines.base import Connection

# Below this many events a column of unseen values is no sign of a different coding.
MIN_EVENTS_TO_WARN = 20


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
    if not isinstance(state, State):
        state = State.load(Path(state))
    if until is not None:
        state = dataclasses.replace(state, spec=state.spec.with_until(until))
    spec = state.spec
    connection = connect()
    try:
        where = "events"
        if isinstance(events, str | Path):
            where = str(events)
            table = read_table(connection, Path(events))
        else:
            given = to_arrow(events)
            check_names(given.column_names, where)
            rows = pa.array(range(1, given.num_rows + 1), pa.int64())
            table = ibis.memtable(given.append_column("__row", rows))
            table = table.mutate(__file=ibis.literal(where))
        with connection.clear_errors(f"reading {where}"):
            table = explode(connection, table, spec.event_columns, where)
        require_columns(table, spec.columns, where)
        check_ids(connection, table, spec, where)
        check_time_kind(connection, table, spec, state.time_kind, where)
        require_facts(connection, table, (), spec, state.time_kind, where)
        with connection.clear_errors(f"reading {where}"):
            cleaned = connection.to_pyarrow(clean(table, spec, state.time_kind))
        if not cleaned.num_rows:
            raise ValueError(f"{where}: the table has no events")
        cleaned = cleaned.append_column("__position", pa.array(range(cleaned.num_rows)))
        # Sequences are numbered as they come first.
        ids = cleaned[spec.id].combine_chunks().dictionary_encode()
        numbered = ibis.memtable(cleaned)
        problems = Problems(connection, strict=True, remedy="correct or remove the row")
        check_events(connection, numbered, spec, problems)
        with connection.clear_errors(f"coding {where}"):
            grouped = group_events(cleaned, ids.indices.to_numpy(), state)
            if spec.facts or spec.until is not None:
                facts = _facts(connection, numbered, state, problems)
                facts = facts.take(pc.index_in(ids.dictionary, facts[spec.id]))
                for name in facts.column_names[1:]:
                    grouped = grouped.append_column(name, facts[name])
    finally:
        connection.disconnect()
    _warn_unseen(grouped, state, where)
    try:
        return with_id(ids.dictionary, grouped, state)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{where}: ids of '{spec.id}' were integers in preparation, these are not ({error})"
        ) from error


def _facts(connection: Connection, events: ir.Table, state: State, problems: Problems) -> pa.Table:
    """Id, coded static fields and `until` of every sequence."""
    spec, rows = state.spec, events
    if spec.facts:
        known = facts_of_ids(events, events, spec.id, spec.facts, problems)
        rows = with_facts(events, spec.id, known)
    if spec.until is not None and spec.until_column is None:
        rows = with_until(rows, common_until(spec, state.time_kind, events, connection))
    columns: dict[str, ir.Value] = {name: rows[name].min() for name in spec.static.names}
    if spec.until is not None:
        check_observed(rows, spec, problems)
        end, first = rows[OBSERVED].min(), rows["event_time"].min()
        columns[UNTIL] = end - first if spec.relative_time else end
    sequences = rows.group_by(spec.id).aggregate(__events=rows.count(), **columns)
    found = connection.to_pyarrow(sequences.select(spec.id, *columns))
    for name, values in encode_static(found, state).items():
        found = found.set_column(found.column_names.index(name), name, pa.array(values))
    return found


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
