"""A small dataset: rows as plain dictionaries, batches of them, and their prepared folder."""

from __future__ import annotations

import dataclasses
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
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.spec_parts import Numerical
from grap_seq.prep.folder.manifest import Manifest, files_of
from grap_seq.prep.folder.state import Scaler, State, Statistics
from grap_seq.schema import SPLITS, Field, Label, Schema

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
    for split, rows in splits.items():
        (folder / split).mkdir(exist_ok=True)
        bounds = np.linspace(0, len(rows), parts + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(bounds)):
            part = table(rows[start:stop])
            pq.write_table(
                part if schema.labels else part.drop_columns("label"),
                folder / split / f"part-{number:05d}.parquet",
            )
    write_descriptions(folder, schema)
    return folder


def write_descriptions(folder: Path, schema: Schema = SCHEMA, **changes: Any) -> None:
    """schema.yaml, vocab.json and manifest.json of the parts that a folder has.

    Args:
        folder: with the parts.
        schema: what they hold.
        changes: what else the manifest says.
    """
    schema.save(folder)
    state_of(schema).save(folder)
    known: dict[str, Any] = {
        "dataset": schema.name,
        "splits": {split: _counts(folder / split, schema) for split in SPLITS},
        "dropped": {},
        "source": {},
        "files": files_of(folder),
        "spec_hash": "",
        "schema_hash": schema.hash,
        "versions": {},
    }
    Manifest(**known | changes).save(folder)


def state_of(schema: Schema) -> State:
    """Vocabularies a, b, c, ... and scalers that leave numbers as they are."""
    plain = Statistics(-5.0, 5.0, 0.0, 1.0, 100)

    def codes(fields: Sequence[Field]) -> dict[str, tuple[str | None, ...]]:
        sizes = {f.name: (f.size or 2) - 2 for f in fields if f.kind == "categorical"}
        return {name: tuple(map(chr, range(97, 97 + size))) for name, size in sizes.items()}

    def scalers(fields: Sequence[Field]) -> dict[str, Scaler]:
        found = {}
        for field in fields:
            if field.kind == "numerical":
                groups = (None,) * len(codes(fields)[field.by]) if field.by else ()
                found[field.name] = Scaler(False, field.by, plain, groups)
        return found

    return State(
        spec=DatasetSpec(
            schema.name,
            schema.id,
            "time",
            time_unit=schema.time_unit,
            categorical=tuple(codes(schema.fields)),
            numerical={f.name: Numerical(by=f.by) for f in schema.numerical},
            label=tuple(label.name for label in schema.labels),
            label_time="asked" if schema.local_labels else None,
            local_labels=schema.local_labels,
            until=0.0 if schema.until else None,
        ),
        categorical=codes(schema.fields),
        numerical=scalers(schema.fields),
        static_categorical=codes(schema.static),
        static_numerical=scalers(schema.static),
        labels=schema.labels,
        id_type="string",
        time_kind="number",
    )


def _counts(folder: Path, schema: Schema) -> dict[str, Any]:
    parts = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    label = schema.label()
    codes = [code for part in parts if label for code in part["label"].to_pylist()]
    known = [code for code in codes if code is not None]
    return {
        "sequences": sum(map(len, parts)),
        "events": sum(len(row) for part in parts for row in part["event_time"]),
        "labelled": len(known),
        "classes": {name: known.count(i) for i, name in enumerate(label.classes if label else ())},
    }
