"""New events to stored states: the embeddings of whole histories, at the cost of the new events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from grap_seq.data.collate import Crop, collate
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import check_finite
from grap_seq.evaluation.states import EMBEDDING, States
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.incremental import SequenceState, step
from grap_seq.schema import TIME

if TYPE_CHECKING:
    from grap_seq.evaluation.model import EmbeddingModel

Array = NDArray[Any]
NAMES = tuple(field.name for field in fields(SequenceState))
STATIC = "static:"
WHOLE = "embed whole histories with model.embed(events)"
ANEW = "start it anew with its whole history: model.update(states.without([id]), history)"


def update(
    model: EmbeddingModel,
    states: States | None,
    events: Any,
    batch_events: int,
    until: str | float | date | None,
) -> States:
    """See `EmbeddingModel.update`; `states` None: all sequences are new."""
    _check_model(model, states)
    sequences = Sequences.from_table(model.schema, model.coder.encode(events, until))
    ids = pd.Index(sequences.ids(0, len(sequences)).to_pandas(), name=model.schema.id)
    # Row of each sequence among the known ones; -1: it is new.
    known = np.full(len(ids), -1) if states is None else states.ids.get_indexer(ids)
    if states is not None:
        _check_border(sequences, states, ids, known)
    before = np.zeros(len(ids), np.int64)
    if states is not None:
        before[known >= 0] = states.parts["events"][known[known >= 0]]
    _check_lengths(before + sequences.lengths, ids, model.eval_length)
    all_ids = ids if states is None else states.ids.union(ids).rename(ids.name)
    places = all_ids.get_indexer(ids)
    parts: dict[str, Array] = {}
    for rows in _alike(sequences.lengths, known >= 0, batch_events):
        found = _step(model, states, sequences, rows, known[rows])
        for name, part in found.items():
            if name not in parts:
                parts[name] = np.zeros((len(all_ids), *part.shape[1:]), part.dtype)
            parts[name][places[rows]] = part
    if states is not None:
        old = ~states.ids.isin(ids)
        for name, part in parts.items():
            part[all_ids.get_indexer(states.ids[old])] = states.parts[name][old]
    return States(all_ids, parts, model.description["weights"])


def _alike(lengths: Array, known: Array, batch_events: int) -> Iterator[Array]:
    """Batches of rows with as many new events, all of known sequences or all of new ones."""
    for kind in np.unique(np.stack([known, lengths]), axis=1).T:
        rows = np.flatnonzero((known == kind[0]) & (lengths == kind[1]))
        at_once = max(1, batch_events // int(kind[1]))
        yield from np.split(rows, range(at_once, len(rows), at_once))


def _step(
    model: EmbeddingModel, states: States | None, sequences: Sequences, rows: Array, known: Array
) -> dict[str, Array]:
    """Parts of the states after the new events of rows."""
    crops = [Crop(int(row), 0, int(sequences.lengths[row]), 0) for row in rows]
    batch = collate(sequences, crops).sent(model.device)
    state = None
    if states is not None and known[0] >= 0:
        tensors = {name: torch.from_numpy(states.parts[name][known]) for name in NAMES}
        tensors = {name: tensor.to(model.device) for name, tensor in tensors.items()}
        state = SequenceState(**{**tensors, "encoder": tensors["encoder"][None]})
    embeddings, state = step(model.model, state, batch)
    vectors = embeddings.cpu().numpy()
    check_finite(vectors, sequences, crops)
    found = {name: getattr(state, name).cpu().numpy() for name in NAMES}
    # (1, B, H)
    found["encoder"] = found["encoder"][0]
    static = {STATIC + name: values[rows] for name, values in sequences.static.items()}
    return {EMBEDDING: vectors, **found, **static}


def _check_model(model: EmbeddingModel, states: States | None) -> None:
    """Refuse what could not give the embeddings of whole histories.

    Raises:
        TypeError: `states` are none.
        ValueError: another encoder than a GRU, times from each sequence's first event, or states of
            another model.
    """
    if states is not None and not isinstance(states, States):
        raise TypeError(f"states: {type(states).__name__} given; model.start(events) makes some")
    if not isinstance(model.model.encoder, GRUEncoder):
        name = model.description["encoder"]["name"]
        raise ValueError(
            f"encoder={name}: a state of bounded size, which goes on with new events, has the GRU"
            f" alone (encoder=gru); {WHOLE}"
        )
    if model.coder.state.spec.relative_time:
        raise ValueError(
            "relative_time: the times of new events would count from the first of them, not from"
            f" that of the history; {WHOLE}"
        )
    if states is not None and states.model != model.description["weights"]:
        raise ValueError(
            "the states are another model's; make them anew with model.start(events) from whole"
            " histories"
        )


def _check_border(sequences: Sequences, states: States, ids: pd.Index[Any], known: Array) -> None:
    """Refuse events that do not come behind what a state has seen.

    Raises:
        ValueError: one is older or at the same moment, or a static field has another value.
    """
    rows = np.flatnonzero(known >= 0)
    if not len(rows):
        return
    first = sequences.gather([(int(row), 0, 1) for row in rows], [TIME])[TIME]
    wrong = rows[first <= states.parts["latest"][known[rows]]]
    if len(wrong):
        raise ValueError(
            f"sequence {ids[wrong[0]]!r}{_more(wrong)} has new events that are not later than the"
            " last one of its state: what happened at one moment has an order and has to come"
            f" together; leave out what the state has seen, or {ANEW}"
        )
    for name, values in sequences.static.items():
        given, stored = values[rows], states.parts[STATIC + name][known[rows]]
        wrong = rows[(given != stored) & ~((given != given) & (stored != stored))]
        if len(wrong):
            raise ValueError(
                f"sequence {ids[wrong[0]]!r}{_more(wrong)} has another value of '{name}' than in"
                f" its state, which its earlier events were read with; {ANEW}"
            )


def _check_lengths(events: Array, ids: pd.Index[Any], eval_length: int) -> None:
    """Refuse more events than an embedding is made of: a state cannot forget the first of them.

    Raises:
        ValueError: a sequence has them.
    """
    long = np.flatnonzero(events > eval_length)
    if len(long):
        raise ValueError(
            f"sequence {ids[long[0]]!r}{_more(long)} has {events[long[0]]:,} events, and embeddings"
            f" are of the last {eval_length:,}, which a state could not tell from the others: set"
            " model.eval_length higher, or start it anew with its last events"
        )


def _more(rows: Array) -> str:
    return f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
