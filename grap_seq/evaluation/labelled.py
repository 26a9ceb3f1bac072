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
import pyarrow.parquet as pq

from grap_seq.evaluation.aggregates import aggregates, label_aggregates
from grap_seq.evaluation.boosting import Features
from grap_seq.evaluation.embed import NUMBER, UNTRAINED, embedding_file
from grap_seq.evaluation.scores import Labels
from grap_seq.schema import LABEL, SPLITS, Label, Schema


@dataclass(frozen=True)
class Labelled:
    """N labelled sequences of the three splits.

    Attributes:
        schema: The dataset.
        label: What is predicted.
        labels: (N,) its codes.
        splits: (N,) "train", "val" or "test".
        ids: (N,) ids of the sequences.
        features: "embedding", "aggregates" and "untrained", the embedding by a model of the same
            architecture whose parameters are fresh; each (N, features).
        poolings: parts of the embedding by their names in `grap_seq.nn.pooling`, where it has
            several.
        pooling: The pooling of the embedding.
        owners: (N,) number of the sequence, where sequences have several labels.
        numbers: (N,) number of the label in its sequence, where it has several.
    """

    schema: Schema
    label: Label
    labels: Labels
    splits: npt.NDArray[np.str_]
    ids: npt.NDArray[Any]
    features: dict[str, Features]
    poolings: dict[str, Features]
    pooling: str
    owners: npt.NDArray[np.intp] | None = None
    numbers: npt.NDArray[np.intp] | None = None

    def rows(self, split: str) -> npt.NDArray[np.intp]:
        """Row numbers of a split."""
        return np.flatnonzero(self.splits == split)


def load(run: Path, prepared: Path, name: str | None = None) -> Labelled:
    """Read embeddings and labels, compute the aggregates.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        name: Which of several labels; None: the first.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: The dataset has no labels, or not this one, or one class only, or the
            embeddings belong to other sequences.
    """
    schema = Schema.load(prepared)
    label = schema.label(name)
    if label is None:
        raise ValueError(
            f"{prepared} has no labels, so there is nothing to score: name a label in the "
            "dataset's description and prepare it again"
        )
    labels, embeddings, untrained, plain, splits = [], [], [], [], []
    keys: list[Any] = []
    parts: dict[str, int] = {}
    for split in SPLITS:
        known = _labels(prepared, split, schema, label)
        if known.empty:
            continue
        table, metadata = _embeddings(run, run / "embeddings", split, schema)
        control, _ = _embeddings(run, run / "embeddings" / UNTRAINED, split, schema)
        for found in (table, control):
            _check_ids(run, prepared, split, known.index, found.index)
        parts = json.loads(metadata["parts"])
        chosen = known.dropna().sort_index()
        if chosen.empty:
            continue
        labels.append(chosen.to_numpy(dtype=label.dtype))
        embeddings.append(table.loc[chosen.index].to_numpy(dtype=np.float32))
        untrained.append(control.loc[chosen.index].to_numpy(dtype=np.float32))
        keys.extend(chosen.index)
        if schema.local_labels:
            features = label_aggregates(prepared, split)
        else:
            features = aggregates(prepared, split, labelled_by=schema.label_column(label))
        plain.append(features.loc[chosen.index].to_numpy())
        splits.append(np.full(len(chosen), split))
    _check_labels(prepared, label, labels)
    embedding = np.concatenate(embeddings)
    poolings = {}
    if len(parts) > 1:
        slices = np.split(embedding, np.cumsum(list(parts.values()))[:-1], axis=1)
        poolings = dict(zip(parts, slices, strict=True))
    ids, numbers = np.array(keys), None
    if schema.local_labels:
        pairs = [key.rpartition("/") for key in keys]
        ids = np.array([owner for owner, _, _ in pairs])
        numbers = np.array([int(number) for _, _, number in pairs])
    return Labelled(
        schema=schema,
        label=label,
        labels=np.concatenate(labels),
        splits=np.concatenate(splits),
        ids=ids,
        features={
            "embedding": embedding,
            "aggregates": np.concatenate(plain),
            "untrained": np.concatenate(untrained),
        },
        poolings=poolings,
        pooling="_".join(parts),
        owners=np.unique(ids, return_inverse=True)[1] if schema.local_labels else None,
        numbers=numbers,
    )


def _labels(prepared: Path, split: str, schema: Schema, label: Label) -> pd.Series[Any]:
    """Label of every sequence of a split, by id; empty for an empty split."""
    parts = sorted((prepared / split).glob("part-*.parquet"))
    column = schema.label_column(label)
    columns = [schema.id, column]
    frames = [pq.read_table(part, columns=columns).to_pandas() for part in parts]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=columns)
    if schema.local_labels:
        frame = frame.dropna().explode(column)
        frame[NUMBER] = frame.groupby(schema.id).cumcount()
        frame[schema.id] = _keys(frame, schema)
    series: pd.Series[Any] = frame.set_index(schema.id)[column]
    return series


def _keys(frame: pd.DataFrame, schema: Schema) -> list[str]:
    pairs = zip(frame[schema.id], frame[NUMBER], strict=True)
    return [f"{owner}/{number}" for owner, number in pairs]


def _embeddings(
    run: Path, folder: Path, split: str, schema: Schema
) -> tuple[pd.DataFrame, dict[str, str]]:
    path = embedding_file(folder, split, labels=schema.local_labels)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; make it with `grap-seq embed run={run}`")
    table = pq.read_table(path)
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
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


def _check_labels(prepared: Path, label: Label, labels: list[Labels]) -> None:
    classes = np.unique(np.concatenate(labels)) if labels else np.empty(0)
    if len(classes) < 2:
        what = "every labelled sequence has the same" if len(classes) else "no sequence has a"
        raise ValueError(
            f"{prepared}: {what} label '{label.name}'; scores need two classes. Check "
            "the label column and the label file, and prepare the dataset again"
        )
