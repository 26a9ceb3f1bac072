"""Embeddings of whole sequences, in bounded memory, in the rows' own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.shards import WHOLE, Shard
from grap_seq.memory import is_out_of_memory
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.schema import LABEL

Rows = NDArray[Any]
# Rows whose embeddings are held at once: sorted by length together, then written in order.
CHUNK_ROWS = 4096
# Number of a label among those of its sequence.
NUMBER = "label_number"
# Folder beside a run's embeddings: those of the same model with fresh parameters.
UNTRAINED = "untrained"


def embedding_file(split: str, *, labels: bool = False) -> str:
    """Name of a split's embeddings in a folder: a row a sequence, or a row a local label."""
    return f"labels/{split}.parquet" if labels else f"{split}.parquet"


def embed_rows(
    model: SequenceModel,
    sequences: Sequences,
    rows: Rows,
    eval_length: int,
    batch_events: int = 20_000,
    stops: Rows | None = None,
    until: Rows | None = None,
) -> NDArray[np.float32]:
    """Embeddings of some rows, shape (len(rows), E), in evaluation mode.

    Args:
        model: the trained model; left in evaluation mode.
        sequences: a split.
        rows: row numbers.
        eval_length: last events of a sequence that are used.
        batch_events: events in a batch.
        stops: how many events of each row there are to see, shape (len(rows),); None: all.
        until: up to when these were observed, shape (len(rows),); None: what is known of the rows.

    Raises:
        ValueError: no rows, a batch that does not fit into memory (names its longest sequence), or
            an embedding that is not finite (names its sequence).
    """
    model.eval()
    device = next(model.parameters()).device
    if stops is None:
        stops = sequences.lengths[rows]
    starts = np.maximum(0, stops - eval_length)
    ends: list[float | None] = [None] * len(rows) if until is None else until.tolist()
    order = np.argsort(starts - stops, kind="stable")
    crops = (
        [Crop(int(rows[i]), int(starts[i]), int(stops[i]), 0, until=ends[i]) for i in chosen]
        for chosen in _by_events(order, stops - starts, batch_events)
    )
    parts: list[Any] = []
    with torch.inference_mode():
        batches = _batches(sequences, crops, device)
        current = next(batches, None)
        while current is not None:
            cut, batch = current
            with _explained(sequences, cut):
                found = model.embed(batch).float()
            # A GPU is at work while the host makes the next batch; only then is it waited for.
            current = next(batches, None)
            with _explained(sequences, cut):
                vectors = found.cpu().numpy()
            check_finite(vectors, sequences, cut)
            parts.append(vectors)
    if not parts:
        raise ValueError("there are no sequences to embed")
    stacked: NDArray[np.float32] = np.concatenate(parts)
    result = np.empty_like(stacked)
    result[order] = stacked
    return result


def _batches(
    sequences: Sequences, crops: Iterable[list[Crop]], device: torch.device
) -> Iterator[tuple[list[Crop], Batch]]:
    """Each batch's crops and the batch, made when it is asked for."""
    for cut in crops:
        with _explained(sequences, cut):
            batch = collate(sequences, cut).sent(device)
        yield cut, batch


@contextmanager
def _explained(sequences: Sequences, crops: list[Crop]) -> Iterator[None]:
    """Say what to do where memory is not enough for these crops."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise ValueError(_too_long(sequences, crops)) from error
        raise


def check_finite(vectors: NDArray[np.float32], sequences: Sequences, crops: list[Crop]) -> None:
    """Raise ValueError where an embedding of a batch is not finite, shape (len(crops), E)."""
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        row = crops[int(wrong[0])].row
        name = sequences.ids(row, row + 1)[0].as_py()
        raise ValueError(
            f"the embedding of sequence {name!r} is not finite, and those of {len(wrong) - 1} more"
            f" of {len(crops)} in its batch; the model has diverged: train it again, with a lower"
            " lr"
        )


def _too_long(sequences: Sequences, crops: list[Crop]) -> str:
    """What to do about a batch that does not fit into memory."""
    longest = max(crops, key=lambda crop: crop.length)
    name = sequences.ids(longest.row, longest.row + 1)[0].as_py()
    if len(crops) > 1:
        events = sum(crop.length for crop in crops)
        remedy = f"{len(crops)} sequences with {events:,} events; lower batch_events"
    else:
        remedy = "lower eval_length, the number of last events of a sequence that are used"
    return (
        f"memory is not enough to embed sequence {name!r} with {longest.length:,} events: {remedy}"
    )


def _by_events(order: Rows, lengths: Rows, events: int) -> Iterator[Rows]:
    """Cut rows into batches of at most `events` events, a longer row into one of its own."""
    batch = (np.cumsum(lengths[order]) - lengths[order]) // events
    yield from np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []


def chunks(rows: int) -> range:
    """First rows of the chunks that are embedded together."""
    return range(0, rows, CHUNK_ROWS)


def embedding_tables(
    model: SequenceModel,
    sequences: Sequences,
    eval_length: int,
    batch_events: int = 20_000,
    shard: Shard = WHOLE,
) -> Iterator[pa.Table]:
    """Embeddings of a split as tables of at most 4,096 rows: id, label, emb_0000, ..."""
    for start in shard.part(chunks(len(sequences))):
        rows = np.arange(start, min(start + CHUNK_ROWS, len(sequences)))
        vectors = embed_rows(model, sequences, rows, eval_length, batch_events)
        labels = sequences.labels[rows]
        columns = {
            sequences.schema.id: sequences.ids(int(rows[0]), int(rows[-1]) + 1),
            LABEL: _codes(labels, ~sequences.labelled[rows]),
        }
        yield pa.table(columns | _columns(vectors))


def label_tables(
    model: SequenceModel,
    sequences: Sequences,
    eval_length: int,
    batch_events: int = 20_000,
    shard: Shard = WHOLE,
) -> Iterator[pa.Table]:
    """Embeddings of what each label may see, at most 4,096 rows: id, label_number, label, ..."""
    examples = sequences.examples()
    number = np.arange(len(examples)) - np.searchsorted(examples.rows, examples.rows)
    for start in shard.part(chunks(len(examples))):
        here = slice(start, start + CHUNK_ROWS)
        rows = examples.rows[here]
        vectors = embed_rows(
            model,
            sequences,
            rows,
            eval_length,
            batch_events,
            examples.stops[here],
            examples.until[here],
        )
        ids = sequences.ids(int(rows[0]), int(rows[-1]) + 1)
        columns = {
            sequences.schema.id: ids.take(pa.array(rows - rows[0])),
            NUMBER: pa.array(number[here], pa.int32()),
            LABEL: _codes(examples.labels[here]),
        }
        yield pa.table(columns | _columns(vectors))


def _codes(labels: Rows, missing: Rows | None = None) -> pa.Array:
    """As in a prepared folder."""
    return pa.array(labels, pa.int32() if labels.dtype.kind == "i" else pa.float32(), mask=missing)


def _columns(vectors: NDArray[np.float32]) -> dict[str, pa.Array]:
    return {f"emb_{i:04d}": pa.array(vectors[:, i]) for i in range(vectors.shape[1])}
