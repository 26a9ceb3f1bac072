"""Which events moved a score: each is left out in turn, and the sequence is scored again.

This is occlusion (Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014)
of whole events. It asks the model for answers alone, so it is right for every encoder and every
classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.evaluation.left_out import left_out
from grap_seq.evaluation.predictor import Predictor, predictor_of, predicts
from grap_seq.names import nearest
from grap_seq.prep.describe.spec_parts import SECONDS
from grap_seq.prep.folder.state import State
from grap_seq.prep.stages.grouping import CELL
from grap_seq.schema import TIME, Label
from grap_seq.terminal import progress

if TYPE_CHECKING:
    from grap_seq.evaluation.model import EmbeddingModel

Array = NDArray[Any]
# Events of shortened sequences that are held at once.
BLOCK = 400_000


def explain(
    model: EmbeddingModel,
    events: Any,
    label: str | None,
    of: str | None,
    last: int,
    batch_events: int,
    until: str | float | date | None,
) -> pd.DataFrame:
    """See `EmbeddingModel.explain`."""
    if last < 1:
        raise ValueError(f"last={last}: give a number of events to explain, 1 or more")
    predictor = predictor_of(model, label) if label is not None or predicts(model) else None

    def outputs(sequences: Sequences) -> Array:
        rows = np.arange(len(sequences))
        vectors = embed_rows(model.model, sequences, rows, model.eval_length, batch_events)
        return _outputs(predictor, vectors)

    coded = model.coder.encode(events, until, cells=True)
    sequences, state = Sequences.from_table(model.schema, coded), model.coder.state
    counts = np.minimum(sequences.lengths, min(last, model.eval_length))
    whole = outputs(sequences)
    chosen = None if predictor is None else _chosen(predictor.label, of, whole)
    if of is not None and chosen is None:
        raise ValueError(f"of={of}: nothing in {model.run} predicts a label; leave of= out")
    changes = []
    with progress() as shown:
        cost = np.minimum(sequences.lengths, model.eval_length) * counts
        for rows in shown.track(list(_blocks(cost)), description="explaining"):
            owners = np.repeat(rows, counts[rows])
            change = np.full(len(owners), np.nan)
            # Of a sequence with one event nothing would be left.
            some = np.flatnonzero(sequences.lengths[owners] > 1)
            if len(some):
                shorter = left_out(
                    coded,
                    model.schema,
                    rows,
                    counts[rows],
                    longest=model.eval_length,
                    relative_time=state.spec.relative_time,
                ).take(pa.array(some))
                after = outputs(Sequences.from_table(model.schema, shorter))
                before = whole[owners[some]]
                change[some] = _change(
                    before, after, None if chosen is None else chosen[owners[some]]
                )
            changes.append(change)
    owners = np.repeat(np.arange(len(sequences)), counts)
    change = np.concatenate(changes)
    ours: dict[str, Any] = {"distance": change}
    if predictor is not None and chosen is not None:
        ours = {"score": whole[owners, chosen[owners]], "change": change}
        if predictor.label.classes:
            ours = {"class": np.array(predictor.label.classes)[chosen[owners]], **ours}
    explained = _events(coded, state, owners, _lasts(sequences.lengths, counts))
    taken = {name: f"{name} of the event" for name in ours if name in explained}
    return explained.rename(columns=taken).assign(**ours)


def _blocks(cost: Array) -> Iterator[Array]:
    """Rows that are explained together, a costly one alone."""
    block = (np.cumsum(cost) - cost) // BLOCK
    yield from np.split(np.arange(len(cost)), np.flatnonzero(np.diff(block)) + 1)


def _outputs(predictor: Predictor | None, vectors: Array) -> Array:
    """Probabilities of the classes (R, classes), the number (R, 1), or the embeddings (R, E)."""
    if predictor is None:
        return vectors
    label, found = predictor.label, predictor(vectors)
    if not label.classes:
        found = label.mean + label.std * found
    return found


def _chosen(label: Label, of: str | None, whole: Array) -> Array:
    """Column of the output that is explained, for each sequence, shape (S,).

    Raises:
        ValueError: no such class.
    """
    classes = label.classes
    if of is not None and of not in classes:
        what = nearest(of, classes) if classes else f"'{label.name}' is a number, leave of= out"
        raise ValueError(f"of={of}: no such class; {what}")
    if of is None and len(classes) > 2:
        probable: Array = whole.argmax(axis=1)
        return probable
    place = classes.index(of) if of is not None else len(classes or [0]) - 1
    return np.full(len(whole), place)


def _change(before: Array, after: Array, chosen: Array | None) -> Array:
    """What an event has added to an output, or how far it has moved an embedding, shape (R,)."""
    moved = before - after
    if chosen is None:
        found: Array = np.linalg.norm(moved, axis=1)
    else:
        found = moved[np.arange(len(moved)), chosen]
    return found


def _lasts(lengths: Array, counts: Array) -> Array:
    """Places of the last events of all rows among all events, shape (sum(counts),)."""
    firsts = np.cumsum(lengths) - np.cumsum(counts)
    places: Array = np.arange(counts.sum()) + np.repeat(firsts, counts)
    return places


def _events(coded: pa.Table, state: State, owners: Array, places: Array) -> pd.DataFrame:
    """Id, time and fields of events, as they were read."""

    def cells(name: str) -> Any:
        return coded[CELL + name].combine_chunks().flatten().take(pa.array(places)).to_pandas()

    spec = state.spec
    times = cells(TIME)
    if state.time_kind == "timestamp":
        micros = (times * (SECONDS[spec.time_unit] * 1e6)).round().astype("int64")
        times = pd.to_datetime(micros, unit="us")
    ids = coded[spec.id].take(pa.array(owners)).to_pandas()
    fields = {name: cells(name) for name in (*state.categorical, *state.numerical)}
    return pd.DataFrame({spec.id: ids, spec.time: times, **fields})
