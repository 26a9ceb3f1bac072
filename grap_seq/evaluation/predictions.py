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
from grap_seq.files import atomic_write
from grap_seq.schema import LABEL


def write_predictions(
    path: Path, data: Labelled, plan: Plan, predictions: dict[str, list[Seeded]]
) -> None:
    """One row a scored sequence (or label, where sequences have several), part by part.

    Columns: the sequence's id, label_number where sequences have several, fold (0 for holdout),
    label (name of the class), and FEATURES/CLASS, its probability, the mean over the seeds.
    """
    rows = np.concatenate([part.test for part in plan.parts])
    sizes = [len(part.test) for part in plan.parts]
    classes = np.array(data.schema.classes)
    columns = {data.schema.id: pa.array(data.ids[rows])}
    if data.numbers is not None:
        columns[NUMBER] = pa.array(data.numbers[rows], pa.int32())
    columns["fold"] = pa.array(np.repeat(np.arange(len(sizes)), sizes), pa.int32())
    columns[LABEL] = pa.array(classes[data.labels[rows]])
    for name, parts in predictions.items():
        means = [found.mean(axis=0)[:size] for found, size in zip(parts, sizes, strict=True)]
        for number, values in enumerate(np.concatenate(means).T):
            columns[f"{name}/{classes[number]}"] = pa.array(values.astype(np.float32))
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
