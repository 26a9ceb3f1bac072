"""Scores of a grid: every run's, and mean and deviation of every cell with what cannot be told from
the best.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy import stats

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.runs import Outcome
from grap_seq.experiments.tables import IMAGES

PAPER = Path(__file__).with_name("paper.yaml")
# Columns of `PAPER`, of event sequences and of images.
PAPER_DATASETS = ("churn", "agepred", "alfabattle", "mimic3", "taobao")
PAPER_IMAGES = ("cifar10", "cifar100", "imagenet100")
LEVEL = 0.05
FEATURES = ("embedding", "aggregates", "both", "untrained")


@dataclass(frozen=True)
class Cell:
    """A method on a dataset with an encoder.

    Args:
        scores: of the test split, by seed.
        failed: seeds whose run has failed.
        best: whether its mean is the best of its column.
        tied: whether it cannot be told from the best, by a paired t test over seeds at 5 %; None:
            there are fewer than two seeds.
        mixed: whether its runs come from several versions of the code or of its packages, or one
            of them was begun by one and ended by another.
        paper: mean and deviation in the paper, on the scale of `scores`.
    """

    dataset: str
    encoder: str
    method: str
    metric: str
    scores: Mapping[int, float]
    failed: tuple[int, ...]
    best: bool
    tied: bool | None
    mixed: bool
    paper: tuple[float, float] | None

    @property
    def mean(self) -> float:
        """Over seeds; NaN without any."""
        return float(pd.Series(self.scores, dtype=float).mean())

    @property
    def std(self) -> float:
        """Over seeds, of a sample; NaN below two."""
        return float(pd.Series(self.scores, dtype=float).std())


def raw(outcomes: Mapping[Experiment, Outcome]) -> pd.DataFrame:
    """A row a run: its cell, seed, scores of test and validation, cost, error, origin, settings."""
    rows: list[dict[str, Any]] = []
    for experiment, found in outcomes.items():
        row: dict[str, Any] = {
            "dataset": experiment.dataset,
            "encoder": experiment.encoder,
            "method": experiment.method,
            "seed": experiment.seed,
            "budget": experiment.budget,
            "folds": experiment.folds,
            "run": experiment.name,
            "state": found.state,
            "error": found.error,
            "metric": None if found.result is None else found.result["metric"],
            "options": json.dumps(experiment.options),
            "settings": json.dumps(found.settings),
            "made_by": json.dumps(found.made_by, sort_keys=True),
            "begun_by": found.begun_by and json.dumps(found.begun_by, sort_keys=True),
        }
        for name in FEATURES:
            result = found.result or {"test": {}, "validation": {}}
            row[f"test_{name}"] = result["test"].get(name)
            row[f"val_{name}"] = (result["validation"] or {}).get(name)
        row["weights"] = None if found.weights is None else json.dumps(found.weights)
        row |= {f"training_{name}": value for name, value in (found.cost or {}).items()}
        rows.append(row)
    return pd.DataFrame(rows)


def cells(frame: pd.DataFrame, table: str) -> list[Cell]:
    """The cells of a table, in the order of its rows.

    Args:
        frame: of `raw`.
        table: the paper's, whose values stand beside ours.
    """
    found = []
    for (dataset, encoder), column in frame.groupby(["dataset", "encoder"], sort=False):
        done = column[column["state"] == "done"]
        scores = {
            str(method): dict(zip(rows["seed"], rows["test_embedding"].astype(float), strict=True))
            for method, rows in done.groupby("method", sort=False)
        }
        metric = str(done["metric"].iloc[0]) if len(done) else ""
        means = {method: sum(of.values()) / len(of) for method, of in scores.items()}
        best = max(means, key=lambda method: means[method]) if means else None
        for method, rows in column.groupby("method", sort=False):
            name = str(method)
            mine, ended = scores.get(name, {}), rows[rows["state"] == "done"]
            found.append(
                Cell(
                    dataset=str(dataset),
                    encoder=str(encoder),
                    method=name,
                    metric=metric,
                    scores=mine,
                    failed=tuple(rows.loc[rows["state"] == "failed", "seed"]),
                    best=name == best,
                    tied=None if best is None else tied(mine, scores[best]),
                    mixed=pd.concat([ended["made_by"], ended["begun_by"]]).nunique() > 1,
                    paper=published(table, str(encoder), name, str(dataset)),
                )
            )
    return found


def tied(scores: Mapping[int, float], best: Mapping[int, float]) -> bool | None:
    """Whether scores cannot be told from the best ones, by their differences on common seeds.

    None for fewer than two such seeds.
    """
    seeds = sorted(scores.keys() & best.keys())
    if len(seeds) < 2:
        return None
    differences = [scores[seed] - best[seed] for seed in seeds]
    if max(differences) == min(differences):
        return differences[0] == 0
    return bool(stats.ttest_1samp(differences, 0.0).pvalue > LEVEL)


def published(table: str, encoder: str, method: str, dataset: str) -> tuple[float, float] | None:
    """Mean and deviation in the paper, as shares of one; None where it has none."""
    columns = PAPER_IMAGES if table == IMAGES else PAPER_DATASETS
    if dataset not in columns:
        return None
    rows = yaml.safe_load(PAPER.read_text("utf-8")).get(table, {}).get(encoder, {})
    values = rows.get(METHODS[method].published)
    value = None if values is None else values[columns.index(dataset)]
    return None if value is None else (value[0] / 100, value[1] / 100)
