"""Stage 1: the source, cleaned, in its own order, and the labels beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir

from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import require_columns
from grap_seq.prep.stages.clean import check_ids, clean, left_out
from grap_seq.prep.stages.facts import require_facts
from grap_seq.prep.stages.label_source import label_file, recipe_labels
from grap_seq.prep.stages.times import TimeKind, check_numbers, check_time_kind, time_kind
from grap_seq.prep.stages.work import READING, Work


@dataclass(frozen=True)
class Reading:
    """What was learnt of the source.

    Args:
        time: what its time column holds.
        countable_id: whether ids are integers, or text of a source that knows nothing else.
        dropped: rows that the recipe leaves out, by reason.
    """

    time: TimeKind
    countable_id: bool
    dropped: Mapping[str, int]


def read(work: Work, source: Path | None) -> Reading:
    """Keep `cleaned` and, where they do not come with the events, `labels`."""
    path = work.folder / READING
    if path.exists():
        return Reading(**json.loads(path.read_text("utf-8")))
    with work.connection.clear_errors(f"reading the {work.spec.name} events"):
        found = _read(work, source)
    work.note(READING, asdict(found))
    return found


def _read(work: Work, source: Path | None) -> Reading:
    spec, recipe, connection = work.spec, work.recipe, work.connection
    where = str(source) if source is not None else spec.name
    tables = recipe.read(connection, source)
    events = _events(work, tables, where)
    kind = _time_kind(work, events, where)
    required = work.stored is None
    labels = label_file(connection, recipe, kind, required=required)
    # Those of a recipe follow from its events, which are read once.
    later = labels is None and bool(spec.label) and recipe.labelled(source)
    if labels is None and not later and required:
        _require_label(work, events)
    if not later:
        beside = () if labels is None else labels.columns
        require_facts(connection, events, beside, spec, kind, where)
    work.store.put("cleaned", clean(events, spec, kind))
    cleaned = work.store.in_order("cleaned")
    dropped = left_out(connection, cleaned)
    if later:
        labels = recipe_labels(connection, recipe, tables, cleaned, kind)
        require_facts(connection, events, labels.columns, spec, kind, where)
    if labels is not None:
        work.store.put("labels", labels)
        dropped |= left_out(connection, work.store.in_order("labels"))
    id_type = events[spec.id].type()
    countable = id_type.is_numeric() or (recipe.untyped(source) and id_type.is_string())
    return Reading(kind, countable, dropped)


def _events(work: Work, tables: dict[str, ir.Table], where: str) -> ir.Table:
    """One row an event, with all columns that the description names and `__file`."""
    events = work.recipe.events(tables)
    if "__file" not in events.columns:
        events = events.mutate(__file=ibis.literal(work.spec.name))
    events = explode(work.connection, events, work.spec.event_columns, where)
    require_columns(events, work.spec.columns, where)
    check_ids(work.connection, events, work.spec, where)
    return events


def _time_kind(work: Work, events: ir.Table, where: str) -> TimeKind:
    """What the time column holds, checked where no recipe answers for it."""
    known = work.recipe.time_kind
    if work.stored is not None:
        if known is None:
            check_time_kind(work.connection, events, work.spec, work.stored.time_kind, where)
        return work.stored.time_kind
    if known is not None:
        return known
    kind = time_kind(work.connection, events, work.spec)
    if kind == "number":
        check_numbers(work.connection, events, work.spec, where)
    return kind


def _require_label(work: Work, events: ir.Table) -> None:
    names = [*work.spec.label, *filter(None, [work.spec.label_time])]
    missing = [name for name in names if name not in events.columns]
    if not missing:
        return
    if work.recipe.remedy:
        raise ValueError(f"{work.spec.name}: the source has no labels; {work.recipe.remedy}")
    raise ValueError(
        f"{work.recipe.spec_path}: the events have no column '{missing[0]}'; name the label file "
        "with 'labels', or set label to null"
    )
