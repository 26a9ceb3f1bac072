"""Plain aggregates per sequence: the features a user would build without any pretraining.

They are the baseline that an embedding has to beat, so nothing is left out that one afternoon of
SQL would give: counts, rates, recency, the share of every code, sums, means, extremes and last
values of every number, also within every code of the field that the number is standardised by, and
how these change within the history. They see the same events as an embedding does.

Events are read in chunks and grouped with numpy, so memory depends on the size of a chunk and of
the result, not on the number of events.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.grouped import Array, Columns, Histories, quantiles, ratio, statistics
from grap_seq.schema import TIME

TOP_CODES = 100
"""Codes are numbered by falling frequency; those above this one are counted together."""
CHUNK_EVENTS = 400_000


def aggregates(
    sequences: Sequences, examples: Examples, eval_length: int
) -> Iterator[pd.DataFrame]:
    """Aggregates of what each example may see, in chunks.

    Args:
        sequences: A split.
        examples: Which rows, and the number of their events there are to see.
        eval_length: Last events of these that are used.

    Yields:
        float32 frames (rows, features) in the order of the examples; NaN where there is nothing to
        aggregate (the mean of a number that was never measured). The columns depend on the schema
        only, so every split has the same.
    """
    starts = np.maximum(0, examples.stops - eval_length)
    # Short histories count as longer ones: every row has its columns.
    chunk = np.cumsum(np.maximum(examples.stops - starts, 100)) // CHUNK_EVENTS
    for here in np.split(np.arange(len(examples)), np.flatnonzero(np.diff(chunk)) + 1):
        part = examples.take(here)
        spans = zip(part.rows.tolist(), starts[here].tolist(), part.stops.tolist(), strict=True)
        events = sequences.gather(list(spans))
        histories = Histories.of(part.stops - starts[here])
        columns = _columns(sequences, histories, events)
        if sequences.schema.until:
            columns |= _recency(histories, events[TIME], part.until)
        for field in sequences.schema.static:
            columns[f"{field.name}/value"] = sequences.static[field.name][part.rows]
        yield pd.DataFrame(columns).astype("float32")


def _columns(sequences: Sequences, histories: Histories, events: dict[str, Array]) -> Columns:
    schema = sequences.schema
    sizes = {field.name: field.size or 0 for field in schema.categorical}
    columns = _times(histories, events[TIME])
    for name, size in sizes.items():
        columns |= _codes(histories, events[name], name, size)
    for field in schema.numerical:
        values = events[field.name]
        found = statistics(values, histories.row, len(histories.lengths))
        found["missing"] = 1 - ratio(found.pop("count"), histories.lengths)
        columns |= {f"{field.name}/{key}": column for key, column in found.items()}
        if field.by is not None:
            columns |= _by_code(
                histories, values, events[field.by], field.name, field.by, sizes[field.by]
            )
    return columns


def _times(histories: Histories, times: Array) -> Columns:
    """Number of events, first to last event, and the distribution of the time between events."""
    gaps = np.diff(times, prepend=np.nan)
    gaps[histories.place == 0] = np.nan
    rows = len(histories.lengths)
    gap = statistics(gaps, histories.row, rows)
    duration = np.where(histories.lengths > 0, gap.pop("sum"), np.nan)
    del gap["count"]
    gap |= quantiles(gaps, histories.row, rows)
    columns = {"count": histories.lengths, "duration": duration}
    columns |= {f"gap_{key}": column for key, column in gap.items()}
    return {f"{TIME}/{key}": column for key, column in columns.items()}


def _recency(histories: Histories, times: Array, until: Array) -> Columns:
    """Time since the first and the last event, where it is known up to when there could be more."""
    first = histories.of_events(times, 0)
    last = histories.of_events(times, histories.lengths - 1)
    return {f"{TIME}/since_first": until - first, f"{TIME}/since_last": until - last}


def _codes(histories: Histories, codes: Array, name: str, size: int) -> Columns:
    """The last code, how many there are, their entropy, and the share of each."""
    kept, width = _kept(codes, size)
    rows, lengths = len(histories.lengths), histories.lengths
    counts = np.bincount(histories.row * width + kept, minlength=rows * width)
    shares = ratio(counts.reshape(rows, width), lengths[:, None])
    # Of all codes, also of those that have no column of their own.
    pairs, times = np.unique(histories.row * np.int64(size) + codes, return_counts=True)
    row = pairs // size
    share = times / lengths[row]
    columns = {
        f"{name}/last": histories.of_events(codes, histories.lengths - 1),
        f"{name}/n_unique": np.bincount(row, minlength=rows),
        f"{name}/entropy": np.bincount(row, -share * np.log(share), rows),
    }
    return columns | {
        f"{name}={code}/share": np.nan_to_num(shares[:, code]) for code in range(1, width)
    }


def _by_code(
    histories: Histories, values: Array, codes: Array, name: str, by: str, size: int
) -> Columns:
    """Statistics of a number within each code of the field `by`."""
    kept, width = _kept(codes, size)
    rows = len(histories.lengths)
    found = statistics(values, histories.row * width + kept, rows * width)
    return {
        f"{name}[{by}={code}]/{key}": column.reshape(rows, width)[:, code]
        for key, column in found.items()
        for code in range(1, width)
    }


def _kept(codes: Array, size: int) -> tuple[Array, int]:
    """Codes with all the rare ones as one, and the number of those (with 0, the padding)."""
    return np.minimum(codes, TOP_CODES + 1), min(size, TOP_CODES + 2)
