"""Predictions of every scored sequence, for whoever wants to look closer than a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grap_seq.evaluation.classifier import Seeded
from grap_seq.evaluation.embed import NUMBER
from grap_seq.evaluation.labelled import Labelled
from grap_seq.evaluation.plan import Plan
from grap_seq.schema import LABEL


def write_predictions(
    path: Path, data: Labelled, plan: Plan, predictions: dict[str, list[Seeded]]
) -> None:
    """One row a scored sequence (or label, where sequences have several), part by part.

    Columns: the sequence's id, label_number where sequences have several, fold (0 for holdout),
    label, and FEATURES/CLASS, the probability of a class, or FEATURES, the number predicted. Both
    are means over the seeds.
    """
    rows = np.concatenate([part.test for part in plan.parts])
    sizes = [len(part.test) for part in plan.parts]
    label, codes = data.label, data.labels[rows]
    columns = {data.schema.id: pa.array(data.ids[rows])}
    if data.numbers is not None:
        columns[NUMBER] = pa.array(data.numbers[rows], pa.int32())
    columns["fold"] = pa.array(np.repeat(np.arange(len(sizes)), sizes), pa.int32())
    known = np.array(label.classes)[codes] if label.classes else label.mean + label.std * codes
    columns[LABEL] = pa.array(known)
    for name, parts in predictions.items():
        means = [found.mean(axis=0)[:size] for found, size in zip(parts, sizes, strict=True)]
        values = np.concatenate(means)
        if not label.classes:
            columns[name] = pa.array((label.mean + label.std * values[:, 0]).astype(np.float32))
        for number, one in enumerate(label.classes):
            columns[f"{name}/{one}"] = pa.array(values[:, number].astype(np.float32))
    pq.write_table(pa.table(columns), path)
