"""Labels as training and evaluation use them: one a row, or several at positions inside a row."""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grap_seq.schema import LABEL, LABEL_UNTIL, POSITION

Array = NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """What labels are predicted from: the first `stops` events of `rows`, all of shape (N,).

    `until` is up to when these were observed, NaN where nobody knows.
    """

    rows: Array
    stops: Array
    labels: Array
    until: Array

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Array) -> Examples:
        """Some of them."""
        parts = self.rows, self.stops, self.labels, self.until
        return Examples(*(part[places] for part in parts))


@dataclass(frozen=True)
class LocalLabels:
    """Several labels a row, in the order of time.

    Attributes:
        offsets: row r has the labels offsets[r]..offsets[r + 1], shape (rows + 1,).
        labels: codes, shape (L,).
        positions: last event that a label may be predicted from, shape (L,).
        until: up to when it may be, shape (L,), NaN where nobody knows.
    """

    offsets: Array
    labels: Array
    positions: Array
    until: Array

    @classmethod
    def read(cls, batches: List[pa.RecordBatch], dtype: Any) -> LocalLabels:
        """Labels of prepared rows, of this type; none where rows come without them."""
        counts, labels, positions = [0], [np.zeros(0, dtype)], [np.zeros(0, np.int64)]
        until = [np.zeros(0)]
        for batch in batches:
            if LABEL not in batch.schema.names:
                counts += [0] * len(batch)
                continue
            counts += pc.fill_null(pc.list_value_length(batch.column(LABEL)), 0).to_pylist()
            labels.append(batch.column(LABEL).flatten().to_numpy())
            positions.append(batch.column(POSITION).flatten().to_numpy())
            known = LABEL_UNTIL in batch.schema.names
            ends = batch.column(LABEL_UNTIL).flatten().to_numpy() if known else np.nan
            until.append(np.broadcast_to(ends, labels[-1].shape))
        flat = np.concatenate(labels).astype(dtype), np.concatenate(positions).astype(np.int64)
        return cls(np.cumsum(counts), *flat, np.concatenate(until))

    def of_rows(self, kept: Array) -> LocalLabels:
        """The labels of the rows for which `kept`, shape (rows,), is true."""
        counts = np.diff(self.offsets)
        places = np.repeat(kept, counts)
        offsets = np.concatenate([[0], np.cumsum(counts * kept)])
        return LocalLabels(offsets, self.labels[places], self.positions[places], self.until[places])

    def of_crop(self, row: int, start: int, stop: int) -> tuple[Array, Array]:
        """Codes and positions (from `start`) of the labels of events start..stop.

        A label of an event before the crop is left out; one of an event behind it moves to the
        crop's last event.
        """
        here = slice(self.offsets[row], self.offsets[row + 1])
        kept = self.positions[here] >= start
        return self.labels[here][kept], np.minimum(self.positions[here][kept], stop - 1) - start

    def examples(self) -> Examples:
        """Every label, with the events up to its position."""
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return Examples(rows, self.positions + 1, self.labels, self.until)
