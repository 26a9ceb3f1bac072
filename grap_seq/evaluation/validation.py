"""The score by which settings are chosen: of the embedding alone, on the validation split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from grap_seq.data.fraction import chosen
from grap_seq.device import set_threads
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.classifier import Classifier
from grap_seq.evaluation.embed import embed_rows
from grap_seq.evaluation.features import Features
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.load import load
from grap_seq.evaluation.plan import Part
from grap_seq.evaluation.protocol import HOLDOUT_SEEDS
from grap_seq.evaluation.scores import score
from grap_seq.evaluation.split_rows import SplitRows
from grap_seq.schema import Schema


def validation_score(
    run: Path,
    prepared: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    boosting: Boosting | None = None,
    all_labels: bool = False,
) -> float | None:
    """The validation score of `evaluate` with folds=0, without anything else that it does.

    The test split is not read, no file is written, and neither aggregates nor an untrained encoder
    are fitted.

    Args:
        run: a finished run.
        prepared: the folder it was trained on.
        seed, threads, boosting, all_labels: as of `evaluate`.

    Returns:
        The score, of the first of several labels; None where it is undefined, or where a split has
        no label.
    """
    label = Schema.load(prepared).label()
    assert label is not None, "what is searched has a label"
    train, val = (SplitRows.of(prepared, split, label.name) for split in ("train", "val"))
    used = LabelsUsed.of_run(run)
    fitted = np.arange(len(train.keys))
    if used is not None and not all_labels:
        fitted = fitted[chosen(pa.array(train.ids), used.fraction)]
    if not len(val.keys) or len(np.unique(train.examples.labels[fitted])) < 2:
        return None
    set_threads(threads)
    model = load(run, warm=False)
    embedding = [
        embed_rows(
            model.model,
            part.sequences,
            part.examples.rows,
            model.eval_length,
            stops=part.examples.stops,
            until=part.examples.until,
        )
        for part in (train, val)
    ]
    classifier = Classifier(
        labels=np.concatenate([train.examples.labels, val.examples.labels]),
        label=label,
        settings=(boosting or Boosting()).settings(label),
        seed=seed,
        seeds=HOLDOUT_SEEDS,
        threads=threads,
    )
    scored = len(train.keys) + np.arange(len(val.keys))
    part = Part(fitted, scored[:0], scored)
    binned = classifier.bins(Features((np.concatenate(embedding),)), [part])
    (found,) = classifier.predictions(binned, [part], "embedding")
    value = score(val.examples.labels, found.mean(axis=0), label)
    return None if np.isnan(value) else float(value)
