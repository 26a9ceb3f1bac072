"""A small dataset: rows as plain dictionaries, batches of them, and their prepared folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.data.sequences import Sequences
from grap_seq.files import sha256
from grap_seq.schema import Field, Label, Schema

# "type" and "a.b" are ordinary column names that a torch ModuleDict would refuse; "owner" is one
# that a batch could use for itself.
SCHEMA = Schema(
    name="toy",
    id="client",
    time_unit="day",
    fields=(
        Field("type", "categorical", size=7),
        Field("owner", "categorical", size=4),
        Field("a.b", "numerical", by="type"),
        Field("score", "numerical"),
    ),
    labels=(Label("churn", "accuracy", ("no", "perhaps", "yes")),),
)
UNLABELLED_SCHEMA = Schema("toy", "client", "day", SCHEMA.fields)
ARROW = pa.schema(
    {
        "client": pa.string(),
        "event_time": pa.list_(pa.float64()),
        "type": pa.list_(pa.int32()),
        "owner": pa.list_(pa.int32()),
        "a.b": pa.list_(pa.float32()),
        "score": pa.list_(pa.float32()),
        "label": pa.int32(),
    }
)
# With the date up to which sequences were observed: see `with_until`.
UNTIL_SCHEMA = dataclasses.replace(SCHEMA, until=True)
LOCAL_SCHEMA = dataclasses.replace(SCHEMA, local_labels=True)
LOCAL_ARROW = pa.schema(
    {
        **dict(zip(ARROW.names[:-1], ARROW.types[:-1], strict=True)),
        "label": pa.list_(pa.int32()),
        "label_position": pa.list_(pa.int32()),
    }
)
Row = dict[str, Any]


def random_rows(lengths: Sequence[int], seed: int = 0, first: int = 0) -> list[Row]:
    """One row for each length; about a fifth of the numbers and of the labels are missing."""
    rng = np.random.default_rng([seed, first])
    rows = []
    for number, length in enumerate(lengths, first):
        numbers = rng.normal(size=(2, length)).astype(np.float32)
        numbers[rng.random((2, length)) < 0.2] = np.nan
        rows.append(
            {
                "client": f"c{number:05d}",
                "event_time": 15000 + rng.exponential(3.0, length).cumsum(),
                "type": rng.integers(1, 7, length),
                "owner": rng.integers(1, 4, length),
                "a.b": numbers[0],
                "score": numbers[1],
                "label": None if rng.random() < 0.2 else int(rng.integers(3)),
            }
        )
    return rows


def local_rows(lengths: Sequence[int], seed: int = 0, first: int = 0) -> list[Row]:
    """Rows with none to four labels each, some of them at one event."""
    rng = np.random.default_rng([seed, first, 1])
    rows = random_rows(lengths, seed, first)
    for row, length in zip(rows, lengths, strict=True):
        count = int(rng.integers(0, 5))
        places = np.sort(rng.integers(0, length, count))
        row["label"] = rng.integers(3, size=count).tolist() or None
        row["label_position"] = places.tolist() or None
    return rows


def with_until(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """The same rows, observed for up to 30 days after their last event."""
    waits = np.random.default_rng([seed, 2]).uniform(0, 30, len(rows))
    return [
        {**row, "until": float(row["event_time"][-1] + wait)}
        for row, wait in zip(rows, waits, strict=True)
    ]


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as Arrow, in the columns of a prepared part."""
    names = {*rows[0]} if rows else set()
    schema = LOCAL_ARROW if "label_position" in names else ARROW
    if "until" in names:
        schema = schema.insert(len(ARROW) - 1, pa.field("until", pa.float64()))
    if "label_until" in names:
        schema = schema.append(pa.field("label_until", pa.list_(pa.float64())))
    return pa.Table.from_pylist(list(rows), schema=schema)


def sequences(rows: Sequence[Row], schema: Schema = SCHEMA) -> Sequences:
    """Rows as the package reads them, without a file."""
    return Sequences.from_table(schema, table(rows))


def whole(rows: Sequence[Row]) -> list[Crop]:
    """Every row uncut, each its own owner."""
    return [Crop(i, 0, len(row["event_time"]), i) for i, row in enumerate(rows)]


def batch_of(rows: Sequence[Row], max_padding: float = 0.1, schema: Schema = SCHEMA) -> Batch:
    """A batch of whole rows."""
    return collate(sequences(rows, schema), whole(rows), max_padding)


def write_prepared(
    folder: Path,
    splits: Mapping[str, Sequence[Row]],
    *,
    schema: Schema = SCHEMA,
    parts: int = 1,
) -> Path:
    """Write a prepared folder with `parts` parquet parts a split."""
    folder.mkdir(parents=True, exist_ok=True)
    schema.save(folder)
    files = {}
    for split, rows in splits.items():
        (folder / split).mkdir(exist_ok=True)
        bounds = np.linspace(0, len(rows), parts + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(bounds)):
            path = folder / split / f"part-{number:05d}.parquet"
            part = table(rows[start:stop])
            pq.write_table(part if schema.labels else part.drop_columns("label"), path)
            files[f"{split}/{path.name}"] = {"sha256": sha256(path), "rows": int(stop - start)}
    state = {
        "categorical": {f.name: list(range((f.size or 2) - 2)) for f in schema.categorical},
        "numerical": {f.name: {} for f in schema.numerical},
        "labels": [label.to_dict() for label in schema.labels],
    }
    (folder / "vocab.json").write_text(json.dumps(state))
    counts = {split: {"sequences": len(rows)} for split, rows in splits.items()}
    (folder / "manifest.json").write_text(json.dumps({"splits": counts, "files": files}))
    return folder
