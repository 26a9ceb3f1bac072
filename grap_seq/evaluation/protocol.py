"""How good are the embeddings? LightGBM on them, on plain aggregates, on both, and on a control.

The control is the embedding by an untrained encoder: the same architecture, fresh parameters. What
it reaches is no merit of training. `plan.py` says which sequences are fitted on and scored,
`leak.py` which must not be, `combine.py` how embeddings and aggregates are put together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm

from grap_seq.evaluation.binned import fit_score
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.classifier import Classifier, Seeded
from grap_seq.evaluation.curve import label_curve
from grap_seq.evaluation.features import Array
from grap_seq.evaluation.head import head_scores
from grap_seq.evaluation.labelled import Labelled, load
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.logistic import logistic_predictions
from grap_seq.evaluation.output import Output
from grap_seq.evaluation.plan import Plan, make_plan
from grap_seq.evaluation.predict import predict
from grap_seq.evaluation.predictions import write_predictions
from grap_seq.evaluation.result import Predictions, describe
from grap_seq.evaluation.scores import Labels
from grap_seq.evaluation.stored_trees import CLASSIFIER, content_of
from grap_seq.schema import SPLITS, Label

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.parquet"
HOLDOUT_SEEDS = 3


def evaluate(
    run: Path,
    prepared: Path,
    *,
    label: str | None = None,
    folds: int | str = "auto",
    seed: int = 0,
    seeds: int | None = None,
    within: Sequence[str] = SPLITS,
    threads: int | None = None,
    boosting: Boosting | None = None,
    poolings: bool = False,
    logistic: bool = False,
    head: bool = False,
    label_fractions: Sequence[float] = (),
    all_labels: bool = False,
    store: bool = False,
    output: Path | None = None,
) -> dict[str, Any]:
    """Score a run's embeddings; writes evaluation.json and predictions.parquet.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        label: Which of several labels; None: the first.
        folds: 0 for holdout, k for k-fold over all labelled sequences that the encoder has not
            learned the label of, "auto" to choose by their number (`plan.FEW`).
        seed: Seed of the folds, of LightGBM and of the bootstrap.
        seeds: Fits of LightGBM with seeds of their own, whose probabilities are averaged; None: 3
            for holdout and 1 for every fold, where each fold has another seed.
        within: Splits that folds are made of: without "test", settings can be chosen by them.
        threads: CPU threads; None: one per core.
        boosting: LightGBM's settings; None: the protocol's.
        poolings: Score the last state, the mean and the maximum on their own too, where the
            embedding holds all three.
        logistic: Score logistic regression on the embeddings too, of a number ridge regression.
        head: Show the score of the run's own head, where it was trained by the label (holdout).
        label_fractions: Shares of the labels for which scores are drawn as a curve.
        all_labels: Fit classifiers on all labels, also where training saw a share of them (paper,
            Table 4).
        store: Write the classifiers on the embedding too, to classifier.json: `predict_proba` of
            the model in the run finds them there. They are fitted once more for it.
        output: Folder of the files; by default the run's.

    Returns:
        The content of evaluation.json. Scores that are undefined are None.

    Raises:
        FileNotFoundError: The run has no embeddings, or no head.
        FileExistsError: Another process is at work in one of the folders, or `output` has files of
            these names that are not ours.
        ValueError: A damaged file, embeddings by another model or of other data or that are not
            finite, no such label, a constant label, no labelled test sequence, folds over too few
            sequences, or shares of the labels that cannot be drawn.
    """
    if seeds is not None and (not isinstance(seeds, int) or seeds < 1):
        raise ValueError(f"seeds={seeds}: give a number of fits, at least 1")
    target = Output(run, run if output is None else output)
    names = (EVALUATION, PREDICTIONS, *((CLASSIFIER,) if store else ()))
    with target.held(names), target.scratch() as files:
        data = load(run, prepared, Path(files), label)
        settings = (boosting or Boosting()).settings(data.label)
        used = LabelsUsed.of_run(run)
        plan = make_plan(data, used, folds, seed, within, all_labels=all_labels)
        own_head = head_scores(run, plan, data.label) if head else None
        classifier = Classifier(
            labels=data.labels,
            label=data.label,
            settings=settings,
            seed=seed,
            seeds=seeds or (1 if plan.folds else HOLDOUT_SEEDS),
            threads=threads,
        )
        predictions, combined = predict(data, plan.parts, classifier)
        if logistic:
            name = "logistic" if data.label.classes else "ridge"
            predictions[name] = _logistic(data, plan, classifier)
        pooled = {
            name: classifier.predictions(classifier.bins(features, plan.parts), plan.parts, name)
            for name, features in (data.poolings if poolings else {}).items()
        }
        curve = None
        if label_fractions:
            curve = label_curve(data, plan, classifier, label_fractions, used)
        result = describe(data, plan, classifier, Predictions(predictions, pooled, combined))
        result["labels_used"] = None if used is None else used.to_dict()
        result["head"] = own_head
        result["label_curve"] = curve
        result["classifier"] |= {"name": "LightGBM", "version": lightgbm.__version__}
        result["made_of"] = data.origin.to_dict()
        if store:
            binned = classifier.bins(data.features["embedding"], plan.parts)
            fits = classifier.fitted(binned, plan.parts)
            stored = content_of(fits, data.label, data.origin, data.eval_length)
            target.write_json(CLASSIFIER, stored)
        with target.write(PREDICTIONS) as temporary:
            write_predictions(temporary, data, plan, predictions)
        with target.write(EVALUATION) as temporary:
            temporary.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return result


def _logistic(data: Labelled, plan: Plan, classifier: Classifier) -> list[Seeded]:
    # It has no seed: one fit of every part.
    return [
        logistic_predictions(
            data.features["embedding"],
            data.labels,
            part,
            data.label,
            seed=classifier.seed,
            owners=data.owners,
        )[None]
        for part in plan.parts
    ]


def probe(
    train_embeddings: Array,
    labels_train: Labels,
    val_embeddings: Array,
    labels_val: Labels,
    label: Label,
    seed: int,
    *,
    threads: int | None = None,
    boosting: Boosting | None = None,
) -> float:
    """Score of embeddings on validation, to choose between checkpoints while training.

    The same classifier and settings as `evaluate`. Rows without the label are left out. NaN where
    the score is undefined, such as an AUC without positives in validation.
    """
    train, val = label.known(labels_train), label.known(labels_val)
    return fit_score(
        train_embeddings[train],
        labels_train[train],
        val_embeddings[val],
        labels_val[val],
        label,
        seed,
        threads,
        boosting=boosting,
    )
