"""Random access to a prepared split without holding it in memory.

Rows are read through a memory map (`mapped.py`), a crop costing only its own events.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from collections.abc import Sequence as List
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from grap_seq.data.fraction import chosen
from grap_seq.data.labels import Array, Examples, LocalLabels
from grap_seq.data.mapped import mapped
from grap_seq.prep.folder.verify import verify
from grap_seq.schema import LABEL, TIME, UNLABELLED, UNTIL, Field, Schema


class Sequences:
    """The rows of one split of a prepared folder.

    Args:
        folder: a folder written by `grap-seq prepare`.
        split: "train", "val" or "test".
        label: which of several labels; None: the first.

    Attributes:
        schema: the folder's schema.
        batches: the rows as they are stored.
        lengths: events of each row, shape (rows,).
        label: the label, where there is one.
        labels: its code in each row (see `Label`), -1 where there is no label, shape (rows,).
        static: values of the static fields of each row, shape (rows,) each, typed as the others.
        until: up to when each row was observed, shape (rows,); NaN where nobody knows.
        local: the labels inside the rows, where the schema has those; `labels` are missing then.

    Raises:
        FileNotFoundError: the folder is not a prepared one.
        ValueError: no such label, or a file of the folder is damaged.
    """

    def __init__(self, folder: Path, split: str, label: str | None = None) -> None:
        verify(folder)
        schema = Schema.load(folder)
        self.label = schema.label(label)
        self._file = mapped(folder, split)
        self._open(schema, self._read())

    @classmethod
    def from_table(cls, schema: Schema, table: pa.Table) -> Sequences:
        """Rows that are in memory already, such as newly encoded events."""
        sequences = cls.__new__(cls)
        sequences._file, sequences.label = None, schema.label()
        sequences._open(schema, table.combine_chunks().to_batches())
        return sequences

    def _open(self, schema: Schema, batches: list[pa.RecordBatch]) -> None:
        self.schema = schema
        self._dtypes: dict[str, Any] = {TIME: np.float64}
        self._dtypes |= {field.name: _dtype(field) for field in schema.fields}
        self._map(batches)
        counts = [len(batch) for batch in self.batches]
        self._first_row = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.lengths = self._per_row(lambda batch: np.diff(batch.column(TIME).offsets))
        # Of every row, in the values of its record batch.
        self._first_event = self._per_row(_first_events)
        column = LABEL if self.label is None else schema.label_column(self.label)
        dtype = np.dtype("int64" if self.label is None else self.label.dtype)
        self.labels = self._per_row(lambda batch: _labels(batch, column, self._missing), dtype)
        self.local = LocalLabels.read(self.batches, dtype) if schema.local_labels else None
        self.static: dict[str, Array] = {
            field.name: self._per_row(itemgetter(field.name), _dtype(field))
            for field in schema.static
        }
        self.until = self._per_row(
            lambda batch: batch.column(UNTIL) if schema.until else np.full(len(batch), np.nan),
            np.float64,
        )

    def _read(self) -> list[pa.RecordBatch]:
        if self._file is None:
            return []
        reader = pa.ipc.open_file(pa.memory_map(str(self._file)))
        return [reader.get_batch(index) for index in range(reader.num_record_batches)]

    def _map(self, batches: list[pa.RecordBatch]) -> None:
        self.batches = batches
        # By field and record batch: the values of all its rows, one behind the other.
        self._columns: dict[str, list[Array]] = {
            name: [batch.column(name).flatten().to_numpy(zero_copy_only=True) for batch in batches]
            for name in self._dtypes
        }

    def _per_row(self, values: Any, dtype: Any = np.int64) -> Array:
        parts = [np.asarray(values(batch), dtype) for batch in self.batches]
        return np.concatenate([np.zeros(0, dtype), *parts])

    @property
    def _missing(self) -> float:
        return UNLABELLED if self.label is None else self.label.missing

    @property
    def labelled(self) -> Array:
        """Whether each row has the label, shape (rows,)."""
        if self.label is None:
            return np.zeros(len(self), bool)
        known: Array = self.label.known(self.labels)
        return known

    def examples(self) -> Examples:
        """What each label is predicted from, in the order of the rows."""
        if self.local is not None:
            return self.local.examples()
        rows = np.flatnonzero(self.labelled)
        return Examples(rows, self.lengths[rows], self.labels[rows], self.until[rows])

    def __len__(self) -> int:
        return int(self._first_row[-1])

    def __getstate__(self) -> dict[str, Any]:
        # A loader's worker process maps the file itself instead of receiving its contents.
        assert self._file is not None or not self.batches, "rows in memory cannot be sent"
        return {k: v for k, v in self.__dict__.items() if k not in ("batches", "_columns")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map(self._read())

    def ids(self, start: int, stop: int) -> pa.Array:
        """Sequence ids of the rows start..stop (not of an empty split)."""
        tables = pa.Table.from_batches(self.batches).slice(start, stop - start)
        return tables.column(self.schema.id).combine_chunks()

    def with_labels(self, fraction: float) -> Sequences:
        """The same rows, with the labels of a part of them (`grap_seq.data.fraction`).

        Raises:
            ValueError: a fraction outside (0, 1].
        """
        part = copy.copy(self)
        if len(self):
            kept = chosen(self.ids(0, len(self)), fraction)
            part.labels = self.labels.copy()
            part.labels[~kept] = self._missing
            part.local = None if self.local is None else self.local.of_rows(kept)
        return part

    def observed(self, rows: Array, stops: Array, shares: Array) -> Array:
        """Up to when the first `stops` events of rows were observed, all of shape (N,).

        Where more events follow, it is a share in [0, 1) of the way from the last to the next one.
        """
        lasts = [(row, stop - 1, stop) for row, stop in zip(rows, stops, strict=True)]
        last = self.gather(lasts, (TIME,))[TIME]
        inside = stops < self.lengths[rows]
        places = [
            (row, stop, stop + inner) for (row, _, stop), inner in zip(lasts, inside, strict=True)
        ]
        until = self.until[rows]
        until[inside] = self.gather(places, (TIME,))[TIME]
        return np.where(inside, last + shares * (until - last), until)

    def events(self, row: int, start: int, stop: int) -> dict[str, Array]:
        """Events start..stop of a row: one array of shape (stop - start,) for each field."""
        return self.gather([(row, start, stop)])

    def gather(
        self, slices: List[tuple[int, int, int]], names: Iterable[str] | None = None
    ) -> dict[str, Array]:
        """Events of slices (row, start, stop), one behind the other: an array (N,) a field.

        Codes are int64, numbers float32, times float64. `names` are fields, or the time; None: all.
        """
        rows, starts, stops = np.array(slices, np.int64).reshape(-1, 3).T
        assert (starts >= 0).all(), "events of another row"
        assert (starts <= stops).all(), "events of another row"
        assert (stops <= self.lengths[rows]).all(), "events of another row"
        batches = np.searchsorted(self._first_row, rows, side="right") - 1
        first = self._first_event[rows]
        spans = list(
            zip(batches.tolist(), (first + starts).tolist(), (first + stops).tolist(), strict=True)
        )
        found = {}
        for name in self._dtypes if names is None else names:
            dtype = self._dtypes[name]
            columns = self._columns[name]
            parts = [columns[batch][start:stop] for batch, start, stop in spans]
            found[name] = np.concatenate([np.zeros(0, dtype), *parts], dtype=dtype)
        return found


def _dtype(field: Field) -> Any:
    return np.int64 if field.kind == "categorical" else np.float32


def _first_events(batch: pa.RecordBatch) -> Array:
    offsets: Array = batch.column(TIME).offsets.to_numpy()
    first: Array = offsets[:-1] - offsets[0]
    return first


def _labels(batch: pa.RecordBatch, column: str, missing: float) -> Array:
    if column not in batch.schema.names or pa.types.is_list(batch.schema.field(column).type):
        return np.full(len(batch), missing)
    labels: Array = batch.column(column).fill_null(missing).to_numpy()
    return labels
