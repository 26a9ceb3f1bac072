"""The labelled sequences of a run with all their features, in an order of their own.

Rows are sorted by id within each split, so that folds, and with them the scores, do not depend on
how a prepared folder is cut into parts. Where a sequence has several labels, each is a row with the
features of what it may see.

Features lie in files of a folder that the caller removes: memory holds what a classifier has at
hand, not what there is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grap_seq.evaluation.embed import UNTRAINED
from grap_seq.evaluation.features import Features, Rows
from grap_seq.evaluation.origin import Origin
from grap_seq.evaluation.scores import Labels
from grap_seq.evaluation.split_rows import SplitRows
from grap_seq.evaluation.stored import store_aggregates, store_embeddings
from grap_seq.schema import SPLITS, Label, Schema


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
        origin: What the embeddings are made of.
        eval_length: Last events of a sequence that the embeddings see.
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
    origin: Origin
    eval_length: int
    owners: Rows | None = None
    numbers: npt.NDArray[np.int64] | None = None

    def rows(self, split: str) -> Rows:
        """Row numbers of a split."""
        return np.flatnonzero(self.splits == split)


def load(run: Path, prepared: Path, folder: Path, name: str | None = None) -> Labelled:
    """Read embeddings and labels, compute the aggregates.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        folder: Where the files of the features go; they are needed as long as the features are.
        name: Which of several labels; None: the first.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: The dataset has no labels, or not this one, or one class only, or the
            embeddings are damaged or of another origin.
    """
    origin, schema = Origin.now(run, prepared), Schema.load(prepared)
    label = schema.label(name)
    if label is None:
        raise ValueError(
            f"{prepared} has no labels, so there is nothing to score: name a label in the "
            "dataset's description and prepare it again"
        )
    splits = [SplitRows.of(prepared, split, label.name) for split in SPLITS]
    labels = np.concatenate([split.examples.labels for split in splits])
    _check_labels(prepared, label, labels)
    trained = run / "embeddings"
    embedding, metadata = store_embeddings(splits, run, trained, origin, folder / "embedding")
    control, _ = store_embeddings(splits, run, trained / UNTRAINED, origin, folder / "untrained")
    eval_length = int(metadata["eval_length"])
    plain = store_aggregates(splits, eval_length, folder / "aggregates")
    parts: dict[str, int] = json.loads(metadata["parts"])
    bounds = pairwise(np.cumsum([0, *parts.values()]).tolist())
    poolings = {
        name: Features((embedding.part(start, stop),))
        for name, (start, stop) in zip(parts, bounds, strict=True)
    }
    ids = np.concatenate([split.ids for split in splits if len(split.keys)])
    numbers = [split.numbers for split in splits if split.numbers is not None]
    return Labelled(
        schema=schema,
        label=label,
        labels=labels,
        splits=np.repeat([split.split for split in splits], [len(split.keys) for split in splits]),
        ids=ids,
        features={
            "embedding": Features((embedding,)),
            "aggregates": Features((plain,)),
            "untrained": Features((control,)),
        },
        poolings=poolings if len(parts) > 1 else {},
        pooling="_".join(parts),
        origin=origin,
        eval_length=eval_length,
        owners=np.unique(ids, return_inverse=True)[1] if numbers else None,
        numbers=np.concatenate(numbers) if numbers else None,
    )


def _check_labels(prepared: Path, label: Label, labels: Labels) -> None:
    classes = np.unique(labels)
    if len(classes) < 2:
        what = "every labelled sequence has the same" if len(classes) else "no sequence has a"
        raise ValueError(
            f"{prepared}: {what} label '{label.name}'; scores need two classes. Check the "
            "label column and the label file, and prepare the dataset again"
        )
