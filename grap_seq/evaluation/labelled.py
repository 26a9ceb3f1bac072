"""The labelled sequences of a run with all their features, in an order of their own.

Rows are sorted by id within each split, so that folds, and with them the scores, do not depend on
how a prepared folder is cut into parts. Where a sequence has several labels, each is a row with the
features of what it may see, under the key "id/number".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.aggregates import aggregates
from grap_seq.evaluation.boosting import Features, Labels
from grap_seq.evaluation.embed import NUMBER, embedding_file
from grap_seq.schema import LABEL, SPLITS, Metric, Schema


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
    owners: npt.NDArray[np.intp] | None = None

    @property
    def metric(self) -> Metric:
        # Preparation settles the metric of every labelled dataset.
        assert self.schema.metric is not None
        return self.schema.metric

    def rows(self, split: str) -> npt.NDArray[np.intp]:
        """Row numbers of a split."""
        return np.flatnonzero(self.splits == split)


def load(run: Path, prepared: Path) -> Labelled:
    """Read embeddings and labels, compute the aggregates.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: The dataset has no labels, or one class only, or the embeddings belong to other
            sequences.
    """
    schema = Schema.load(prepared)
    if schema.label is None:
        raise ValueError(
            f"{prepared} has no labels, so there is nothing to score: name a label in the "
            "dataset's description and prepare it again"
        )
    labels, embeddings, plain, splits = [], [], [], []
    keys: list[str] = []
    parts: dict[str, int] = {}
    for split in SPLITS:
        known = _labels(prepared, split, schema)
        if known.empty:
            continue
        table, metadata = _embeddings(run, split, schema)
        _check_ids(run, prepared, split, known.index, table.index)
        parts = json.loads(metadata["parts"])
        chosen = known.dropna().sort_index()
        if chosen.empty:
            continue
        labels.append(chosen.to_numpy(dtype=np.int64))
        embeddings.append(table.loc[chosen.index].to_numpy(dtype=np.float32))
        if schema.local_labels:
            keys.extend(chosen.index)
        features = _aggregates(Sequences(prepared, split), int(metadata["eval_length"]))
        plain.append(features.loc[chosen.index].to_numpy())
        splits.append(np.full(len(chosen), split))
    _check_labels(prepared, schema, labels)
    embedding, aggregated = np.concatenate(embeddings), np.concatenate(plain)
    poolings = {}
    if len(parts) > 1:
        slices = np.split(embedding, np.cumsum(list(parts.values()))[:-1], axis=1)
        poolings = dict(zip(parts, slices, strict=True))
    return Labelled(
        schema=schema,
        labels=np.concatenate(labels),
        splits=np.concatenate(splits),
        features={
            "embedding": embedding,
            "aggregates": aggregated,
            "both": np.concatenate([embedding, aggregated], axis=1),
        },
        poolings=poolings,
        pooling="_".join(parts),
        owners=_owners(keys) if schema.local_labels else None,
    )


def _owners(keys: list[str]) -> npt.NDArray[np.intp]:
    return np.unique([key.rpartition("/")[0] for key in keys], return_inverse=True)[1]


def _labels(prepared: Path, split: str, schema: Schema) -> pd.Series[Any]:
    """Label of every sequence of a split, by id; empty for an empty split."""
    parts = sorted((prepared / split).glob("part-*.parquet"))
    columns = [schema.id, LABEL]
    frames = [pq.read_table(part, columns=columns).to_pandas() for part in parts]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=columns)
    if schema.local_labels:
        frame = frame.dropna().explode(LABEL)
        frame[NUMBER] = frame.groupby(schema.id).cumcount()
        frame[schema.id] = _keys(frame, schema)
    series: pd.Series[Any] = frame.set_index(schema.id)[LABEL]
    return series


def _aggregates(sequences: Sequences, eval_length: int) -> pd.DataFrame:
    """Aggregates of what every label may see, indexed as the labels are."""
    examples = sequences.examples()
    ids = sequences.ids(0, len(sequences)).take(pa.array(examples.rows))
    index: Any = ids.to_pylist()
    if sequences.local is not None:
        numbers = np.arange(len(examples)) - np.searchsorted(examples.rows, examples.rows)
        index = [f"{owner}/{number}" for owner, number in zip(index, numbers, strict=True)]
    return pd.concat(aggregates(sequences, examples, eval_length)).set_axis(index)


def _keys(frame: pd.DataFrame, schema: Schema) -> list[str]:
    pairs = zip(frame[schema.id], frame[NUMBER], strict=True)
    return [f"{owner}/{number}" for owner, number in pairs]


def _embeddings(run: Path, split: str, schema: Schema) -> tuple[pd.DataFrame, dict[str, str]]:
    path = embedding_file(run / "embeddings", split, labels=schema.local_labels)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; make it with `grap-seq embed run={run}`")
    table = pq.read_table(path)
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if "eval_length" not in metadata:
        raise ValueError(
            f"{path} does not say how many events it has seen, because an older version wrote it; "
            f"make it again with `grap-seq embed run={run}`"
        )
    frame: pd.DataFrame = table.drop_columns(LABEL).to_pandas()
    if schema.local_labels:
        frame[schema.id] = _keys(frame, schema)
        frame = frame.drop(columns=NUMBER)
    return frame.set_index(table.column_names[0]), metadata


def _check_ids(
    run: Path, prepared: Path, split: str, known: pd.Index[Any], found: pd.Index[Any]
) -> None:
    missing, extra = len(known.difference(found)), len(found.difference(known))
    if missing or extra:
        raise ValueError(
            f"{run}/embeddings of {split} do not belong to {prepared}/{split}: {missing} of "
            f"its {len(known)} sequences have no embedding, {extra} embeddings no sequence. "
            f"Make them again with `grap-seq embed run={run} prepared={prepared}`"
        )


def _check_labels(prepared: Path, schema: Schema, labels: list[Labels]) -> None:
    classes = np.unique(np.concatenate(labels)) if labels else np.empty(0)
    if len(classes) < 2:
        what = "every labelled sequence has the same" if len(classes) else "no sequence has a"
        raise ValueError(
            f"{prepared}: {what} label '{schema.label}'; scores need two classes. Check the label "
            "column and the label file, and prepare the dataset again"
        )
