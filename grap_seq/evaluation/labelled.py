"""The labelled sequences of a run with all their features, in an order of their own.

Rows are sorted by id within each split, so that folds, and with them the scores, do not depend on
how a prepared folder is cut into parts. Where a sequence has several labels, each is a row with the
features of what it may see, under its id and the number of the label.

Features lie in files of a folder that the caller removes, and are mapped from there: memory holds
what a classifier has at hand, not what there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as List
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.boosting import Labels
from grap_seq.evaluation.embed import NUMBER, embedding_file
from grap_seq.evaluation.features import BATCH, Features, Rows, on_disk
from grap_seq.schema import SPLITS, Label, Schema


@dataclass(frozen=True)
class Labelled:
    """N labelled sequences of the three splits.

    Attributes:
        schema: The dataset.
        labels: (N,) class indices.
        splits: (N,) "train", "val" or "test".
        features: "embedding", "aggregates" and "both", each (N, features).
        poolings: parts of the embedding by their names in `grap_seq.nn.pooling`, where it has
            several.
        pooling: The pooling of the embedding.
        owners: (N,) number of the sequence, where sequences have several labels.
    """

    schema: Schema
    labels: Labels
    splits: npt.NDArray[np.str_]
    features: dict[str, Features]
    poolings: dict[str, Features]
    pooling: str
    owners: Rows | None = None

    @property
    def label(self) -> Label:
        """What is predicted."""
        return self.schema.labels[0]

    def rows(self, split: str) -> Rows:
        """Row numbers of a split."""
        return np.flatnonzero(self.splits == split)


@dataclass(frozen=True)
class _Part:
    """The labelled examples of a split, sorted by their keys: ids, or ids and numbers."""

    split: str
    sequences: Sequences
    examples: Examples
    keys: pd.Index[Any]
    expected: int

    @classmethod
    def of(cls, prepared: Path, split: str) -> _Part:
        sequences = Sequences(prepared, split)
        examples = sequences.examples()
        keys = pd.Index([])
        if len(examples):
            ids = sequences.ids(0, len(sequences)).take(pa.array(examples.rows)).to_pandas()
            keys = pd.Index(ids)
            if sequences.local is not None:
                numbers = np.arange(len(examples)) - np.searchsorted(examples.rows, examples.rows)
                keys = pd.MultiIndex.from_arrays([ids, numbers])
        order = keys.argsort()
        expected = len(sequences) if sequences.local is None else len(examples)
        return cls(split, sequences, examples.take(order), keys[order], expected)


def load(run: Path, prepared: Path, folder: Path) -> Labelled:
    """Read embeddings and labels, compute the aggregates.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        folder: Where the files of the features go; they are needed as long as the features are.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: The dataset has no labels, or one class only, or the embeddings belong to other
            sequences.
    """
    schema = Schema.load(prepared)
    if not schema.labels:
        raise ValueError(
            f"{prepared} has no labels, so there is nothing to score: name a label in the "
            "dataset's description and prepare it again"
        )
    splits = [_Part.of(prepared, split) for split in SPLITS]
    labels = np.concatenate([part.examples.labels for part in splits])
    _check_labels(prepared, schema, labels)
    embedding, metadata = _embeddings(run, prepared, splits, folder, "embedding")
    plain = _aggregates(splits, int(metadata["eval_length"]), folder)
    parts: dict[str, int] = json.loads(metadata["parts"])
    slices = np.split(embedding, np.cumsum(list(parts.values()))[:-1], axis=1)
    poolings = {name: Features((part,)) for name, part in zip(parts, slices, strict=True)}
    features = {"embedding": Features((embedding,)), "aggregates": Features((plain,))}
    return Labelled(
        schema=schema,
        labels=labels,
        splits=np.repeat([part.split for part in splits], [len(part.keys) for part in splits]),
        features=features | {"both": features["embedding"].beside(features["aggregates"])},
        poolings=poolings if len(parts) > 1 else {},
        pooling="_".join(parts),
        owners=_owners(splits) if schema.local_labels else None,
    )


def _owners(parts: List[_Part]) -> Rows:
    ids = [part.keys.get_level_values(0) for part in parts if len(part.keys)]
    return np.unique(np.concatenate(ids), return_inverse=True)[1]


def _aggregates(parts: List[_Part], eval_length: int, folder: Path) -> Any:
    rows, start, found = sum(len(part.examples) for part in parts), 0, None
    for part in parts:
        for frame in aggregates(part.sequences, part.examples, eval_length):
            if found is None:
                found = on_disk(folder, "aggregates", (rows, frame.shape[1]))
            found[start : start + len(frame)] = frame
            start += len(frame)
    assert found is not None
    assert start == rows
    return found


def _embeddings(
    run: Path, prepared: Path, parts: List[_Part], folder: Path, name: str
) -> tuple[Any, dict[str, str]]:
    """Embeddings of the labelled rows, on disk, and what their files say about them."""
    rows, start, found = sum(len(part.examples) for part in parts), 0, None
    metadata: dict[str, str] = {}
    for part in parts:
        if not part.expected:
            continue
        local = part.sequences.local is not None
        path = embedding_file(run / "embeddings", part.split, labels=local)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; make it with `grap-seq embed run={run}`")
        # By default a whole row group would be read ahead into memory.
        file = pq.ParquetFile(path, pre_buffer=False)
        metadata = _metadata(run, path, file)
        columns = [column for column in file.schema_arrow.names if column.startswith("emb_")]
        if found is None:
            found = on_disk(folder, name, (rows, len(columns)))
        filled = np.zeros(len(part.keys), bool)
        for batch in file.iter_batches(BATCH):
            keys = pd.Index(batch.column(0).to_pandas())
            if local:
                keys = pd.MultiIndex.from_arrays([keys, batch.column(NUMBER).to_numpy()])
            places = part.keys.get_indexer(keys)
            known = places >= 0
            vectors = [batch.column(column).to_numpy() for column in columns]
            found[start + places[known]] = np.stack(vectors, axis=1)[known]
            filled[places[known]] = True
        if not filled.all() or file.metadata.num_rows != part.expected:
            raise ValueError(
                f"{path} does not belong to {prepared}/{part.split}: {(~filled).sum()} of its "
                f"{len(filled)} labelled sequences have no embedding, and there are "
                f"{file.metadata.num_rows} embeddings for {part.expected}. Make them again with "
                f"`grap-seq embed run={run} prepared={prepared}`"
            )
        start += len(part.keys)
    return found, metadata


def _metadata(run: Path, path: Path, file: pq.ParquetFile) -> dict[str, str]:
    found = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
    if "eval_length" not in found:
        raise ValueError(
            f"{path} does not say how many events it has seen, because an older version wrote it; "
            f"make it again with `grap-seq embed run={run}`"
        )
    return found


def _check_labels(prepared: Path, schema: Schema, labels: Labels) -> None:
    classes = np.unique(labels)
    if len(classes) < 2:
        what = "every labelled sequence has the same" if len(classes) else "no sequence has a"
        raise ValueError(
            f"{prepared}: {what} label '{schema.labels[0].name}'; scores need two classes. Check "
            "the label column and the label file, and prepare the dataset again"
        )
