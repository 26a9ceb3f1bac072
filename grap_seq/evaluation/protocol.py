"""How good are the embeddings? LightGBM on them, on plain aggregates, and on both.

Two protocols. Holdout: fit on the labelled training sequences, score on validation and test, as in
the published tables. k-fold, for small data: stratified folds over all labelled sequences of the
three splits, so that the mean has an error bar.

The fits are independent and small: they run side by side with a share of the threads each, which
is faster than one after the other and gives the same numbers.
"""

from __future__ import annotations

import math
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from grap_seq.evaluation.boosting import (
    Boosting,
    BoostingSettings,
    Labels,
    Predictions,
    caveats,
    fit_predict,
    fit_score,
)
from grap_seq.evaluation.features import Array, Features
from grap_seq.evaluation.labelled import Labelled, load
from grap_seq.evaluation.outcome import Outcome, cross_validated, difference, held_out
from grap_seq.files import write_json
from grap_seq.schema import SPLITS, Label

FEATURES = ("embedding", "aggregates", "both")
Rows = npt.NDArray[np.intp]
Plan = list[tuple[Rows, Rows]]  # pairs of rows: to fit on, to predict


def evaluate(
    run: Path,
    prepared: Path,
    *,
    folds: int = 0,
    seed: int = 0,
    threads: int | None = None,
    boosting: Boosting | None = None,
    poolings: bool = True,
) -> dict[str, Any]:
    """Score a run's embeddings and write run/evaluation.json.

    Args:
        run: Run folder with embeddings.
        prepared: The prepared folder they were made from.
        folds: 0 for holdout, k for k-fold over all labelled sequences.
        seed: Seed of the folds, of LightGBM and of the bootstrap.
        threads: CPU threads; None: one per core.
        boosting: LightGBM's settings; None: the protocol's.
        poolings: Score the last state, the mean and the maximum on their own too, where the
            embedding holds all three.

    Returns:
        The content of evaluation.json. Scores that are undefined are None.

    Raises:
        FileNotFoundError: The run has no embeddings.
        ValueError: No labels, a constant label, embeddings of other sequences, no labelled test
            sequence, or too many folds.
    """
    with tempfile.TemporaryDirectory(prefix="features-", dir=run) as folder:
        data = load(run, prepared, Path(folder))
        settings = (boosting or Boosting()).settings(data.label)
        plan = _folds(data, folds, seed) if folds else _holdout(data)
        features = {**data.features, **(data.poolings if poolings else {})}
        predictions = _predict(data, features, plan, settings, seed, threads)
        outcomes = {name: _outcome(data, plan, predictions[name], folds, seed) for name in features}
        result = _result(data, outcomes, folds) | {
            "seed": seed,
            "classifier": {"name": "LightGBM", "version": lightgbm.__version__, **asdict(settings)},
            "notes": _notes(data, plan, settings, folds),
        }
    content: dict[str, Any] = _without_nan(result)
    write_json(run / "evaluation.json", content)
    return content


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


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the three-way table of an evaluation, and the poolings where they were scored."""
    console = console or Console()
    columns = ["validation", "test"] if result["validation"] else [result["protocol"]]
    table = Table(title=f"{result['dataset']}: {result['metric']}, {result['protocol']}")
    table.add_column("LightGBM on")
    for column in [*columns, "minus aggregates"]:
        table.add_column(column, justify="right")
    for name in FEATURES:
        scores = [f"{_number(result['test'][name])} ± {_number(result['std'][name])}"]
        if result["validation"]:
            scores.insert(0, _number(result["validation"][name]))
        gap = result["differences"].get(f"{name} - aggregates")
        table.add_row(name, *scores, f"{gap['mean']:+.3f} ± {_number(gap['error'])}" if gap else "")
    table.add_section()
    for name, scored in result["poolings"].items():
        scores = [f"{_number(scored['test'])} ± {_number(scored['std'])}"]
        if result["validation"]:
            scores.insert(0, _number(scored["validation"]))
        table.add_row(f"embedding, {name} only", *scores, "")
    console.print(table)
    console.print(
        f"± {result['std_of']}; {result['classifier']['n_estimators']} trees", style="dim"
    )
    for note in result["notes"]:
        console.print(f"Note: {note}", highlight=False)


def _holdout(data: Labelled) -> Plan:
    for split in ("train", "test"):
        if not len(data.rows(split)):
            raise ValueError(
                f"{data.schema.name} has no labelled sequence in {split}; use evaluation.folds=5, "
                "which divides all labelled sequences anew"
            )
    return [(data.rows("train"), np.concatenate([data.rows("val"), data.rows("test")]))]


def _folds(data: Labelled, folds: int, seed: int) -> Plan:
    largest, what = int(np.bincount(data.labels).max()), "the size of the largest class"
    if data.owners is not None:
        largest, what = len(np.unique(data.owners)), "the number of labelled sequences"
    if not 2 <= folds <= largest:
        raise ValueError(
            f"evaluation.folds={folds}: give 0 for the dataset's own splits, or a number from 2 "
            f"to {largest}, {what}"
        )
    options = {"shuffle": True, "random_state": seed}
    if data.owners is not None:
        # The labels of one sequence stay together: they are not independent.
        groups = StratifiedGroupKFold(folds, **options)
        return list(groups.split(data.labels, data.labels, data.owners))
    return list(StratifiedKFold(folds, **options).split(data.labels, data.labels))


def _predict(
    data: Labelled,
    features: dict[str, Features],
    plan: Plan,
    settings: BoostingSettings,
    seed: int,
    threads: int | None,
) -> dict[str, list[Predictions]]:
    """Predictions of every set of features for every pair of the plan."""
    available = threads or len(os.sched_getaffinity(0))
    jobs = [(name, train, test) for name in features for train, test in plan]
    workers = min(available, len(jobs))

    def fit(job: tuple[str, Rows, Rows]) -> Predictions:
        name, train, test = job
        return fit_predict(
            features[name][train],
            data.labels[train],
            features[name][test],
            label=data.label,
            settings=settings,
            seed=seed,
            threads=available // workers,
        )

    predictions: dict[str, list[Predictions]] = {name: [] for name in features}
    with ThreadPoolExecutor(workers) as pool:
        done = track(pool.map(fit, jobs), "fitting LightGBM", total=len(jobs), transient=True)
        for (name, _, _), predicted in zip(jobs, done, strict=True):
            predictions[name].append(predicted)
    return predictions


def _outcome(
    data: Labelled, plan: Plan, predictions: list[Predictions], folds: int, seed: int
) -> Outcome:
    if folds:
        return cross_validated([data.labels[test] for _, test in plan], predictions, data.label)
    val, test = data.labels[data.rows("val")], data.labels[data.rows("test")]
    for_val, for_test = np.split(predictions[0], [len(val)])
    owners = None if data.owners is None else data.owners[data.rows("test")]
    return held_out((val, for_val), (test, for_test), data.label, seed, owners)


def _result(data: Labelled, outcomes: dict[str, Outcome], folds: int) -> dict[str, Any]:
    main = {name: outcomes[name] for name in FEATURES}
    baseline = outcomes["aggregates"]
    differences = {}
    for name in ("embedding", "both"):
        mean, error = difference(outcomes[name], baseline)
        differences[f"{name} - aggregates"] = {"mean": mean, "error": error}
        if folds:
            gaps = outcomes[name].samples - baseline.samples
            differences[f"{name} - aggregates"]["folds"] = gaps.tolist()
    scored = data.labels if folds else data.labels[data.rows("test")]
    most_common = float(np.bincount(scored).max() / len(scored))
    return {
        "dataset": data.schema.name,
        "metric": data.label.metric,
        "protocol": f"{folds}-fold" if folds else "holdout",
        "test": {name: outcome.test for name, outcome in main.items()},
        "std": {name: outcome.std for name, outcome in main.items()},
        "std_of": "folds" if folds else "bootstrap resamples of the test sequences",
        "validation": None if folds else {name: o.validation for name, o in main.items()},
        "folds": {name: o.samples.tolist() for name, o in main.items()} if folds else None,
        "differences": differences,
        "chance": 0.5 if data.label.metric == "auc" else most_common,
        "pooling": data.pooling,
        "poolings": {
            name: {
                "test": outcomes[name].test,
                "std": outcomes[name].std,
                "validation": outcomes[name].validation,
            }
            for name in outcomes
            if name not in FEATURES
        },
        "label": data.label.name,
        "classes": list(data.label.classes),
        "local_labels": data.schema.local_labels,
        "n_labelled": {split: len(data.rows(split)) for split in SPLITS},
    }


def _notes(data: Labelled, plan: Plan, settings: BoostingSettings, folds: int) -> list[str]:
    notes = []
    for train, test in plan:
        parts = [test] if folds else [data.rows("val"), data.rows("test")]
        for part in parts:
            notes += caveats(data.labels[train], data.labels[part], data.label, settings)
    return list(dict.fromkeys(notes))


def _without_nan(value: Any) -> Any:
    """The same content with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
