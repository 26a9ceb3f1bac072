"""Stage 4: what is fitted to the training sequences, or what was stored and has to suit."""

from __future__ import annotations

import dataclasses
import json

import ibis.expr.types as ir

from grap_seq.prep.folder.state import State
from grap_seq.prep.stages.buckets import Buckets
from grap_seq.prep.stages.calendar import VALUES
from grap_seq.prep.stages.fitting import fit_scalers, fit_vocabularies
from grap_seq.prep.stages.label_codes import fit_labels
from grap_seq.prep.stages.labels import label_rows
from grap_seq.prep.stages.reading import Reading
from grap_seq.prep.stages.work import Work

# Enough for quantiles, and what their sort needs fits in any memory limit.
FIT_EVENTS = 8_000_000
FITTED = "state.json"


def fitted(work: Work, buckets: Buckets, sequences: ir.Table, reading: Reading) -> State:
    """Vocabularies, scalers and classes; found once, since buckets go."""
    path = work.folder / FITTED
    if path.exists():
        return State.from_dict(json.loads(path.read_text("utf-8")))
    if work.stored is None:
        state = _fit(work, buckets, sequences, reading)
    else:
        state = _reuse(work, work.stored, sequences)
    work.note(FITTED, state.to_dict())
    return state


def _fit(work: Work, buckets: Buckets, sequences: ir.Table, reading: Reading) -> State:
    spec, connection = work.spec, work.connection
    train = sequences.filter(sequences["__split"] == "train")
    every, sample = _training_buckets(work, train)
    events = buckets.training(every)
    with connection.clear_errors("fitting vocabularies and scalers"):
        categorical = fit_vocabularies(connection, events, spec.categorical)
        categorical |= {name: VALUES[name] for name in spec.calendar}
        if "hour" in spec.calendar:
            _require_hours(work, events)
        part = buckets.training(sample)
        numerical = fit_scalers(connection, part, spec.numerical, categorical)
        static = fit_vocabularies(connection, train, spec.static.categorical)
        static_numbers = fit_scalers(connection, train, spec.static.numerical, static)
    integers = reading.countable_id and _all_integers(work, sequences)
    return State(
        spec=spec,
        categorical=categorical,
        numerical=numerical,
        labels=fit_labels(connection, label_rows(sequences, spec), spec),
        id_type="int64" if integers else "string",
        time_kind=reading.time,
        static_categorical=static,
        static_numerical=static_numbers,
    )


def _training_buckets(work: Work, train: ir.Table) -> tuple[list[int], list[int]]:
    """All buckets with training sequences, and the first of them, which hold enough events.

    Raises:
        ValueError: there are none.
    """
    sizes = train.group_by("__bucket").aggregate(n=train["__events"].sum()).order_by("__bucket")
    rows = work.connection.to_pyarrow(sizes).to_pylist()
    if not rows:
        raise ValueError(
            f"{work.spec.name}: no sequence falls into the training split; add data or lower the "
            "validation and test shares in the YAML"
        )
    sample: list[int] = []
    size = 0
    for row in rows:
        if not sample or size + row["n"] <= FIT_EVENTS:
            sample.append(row["__bucket"])
            size += row["n"]
    return [row["__bucket"] for row in rows], sample


def _require_hours(work: Work, events: ir.Table) -> None:
    later = events.filter(events["hour"] != "0").limit(1).count()
    if not work.connection.to_pyarrow(later).as_py():
        raise ValueError(
            f"{work.spec.name}: the times in column '{work.spec.time}' are dates without a clock "
            "time; take hour out of calendar"
        )


def _reuse(work: Work, stored: State, sequences: ir.Table) -> State:
    """What was stored, which new data have to fit.

    Raises:
        ValueError: an id that is no integer where all were, or an unknown class.
    """
    spec = work.spec
    if stored.id_type == "int64" and not _all_integers(work, sequences):
        raise ValueError(
            f"{spec.name}: ids of '{spec.id}' were integers in preparation, these are not; write "
            "them the same way"
        )
    rows = label_rows(sequences, spec)
    for label, place in zip(stored.labels, spec.label_columns, strict=True):
        found = work.connection.to_pyarrow(rows.select(place).distinct())
        unknown = {*found[place].to_pylist()} - {None, *label.classes}
        if label.classes and unknown:
            raise ValueError(
                f"{spec.name}: label '{label.name}' has the value "
                f"{', '.join(map(repr, sorted(unknown)))}, in preparation it had "
                f"{', '.join(map(repr, label.classes))}; correct or remove such labels, or "
                "prepare without like="
            )
    return dataclasses.replace(stored, spec=spec)


def _all_integers(work: Work, sequences: ir.Table) -> bool:
    column = sequences["__id"]
    back = column.try_cast("int64").cast("string")
    return bool(work.connection.to_pyarrow((back == column).fill_null(False).all()).as_py())
