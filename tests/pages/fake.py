"""A finished run folder, written by hand in the formats it is specified in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from grap_seq.evaluation.leak import LabelsUsed
from tests.data.toy import write_descriptions
from tests.evaluation.fake import SCHEMA, belong, prepared_folder, write_embeddings

LOSSES = ("coles", "time", "shop", "amount", "score")
ENDS = {"coles": 0.0, "time": 0.4, "shop": 3.0, "amount": 1.1, "score": 0.5}
COSINES = {"coles": -0.01, "time": 0.0, "shop": 0.05, "amount": 0.02, "score": 0.0}


def trajectory(steps: int = 20, seed: int = 0) -> pd.DataFrame:
    """Weights that move straight from 1 to ENDS, cosines that scatter around COSINES."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, steps)
    frame = pd.DataFrame({"step": 10 * np.arange(steps), "epoch": np.arange(steps) // 10})
    for name in LOSSES:
        frame[f"weight/{name}"] = 1 + share * (ENDS[name] - 1)
        frame[f"cosine/{name}"] = COSINES[name] + 0.001 * rng.standard_normal(steps)
    return frame


def metrics(epochs: int = 3, *, validation: bool = True) -> pd.DataFrame:
    frame = pd.DataFrame({"epoch": range(epochs), "step": 40 * (1 + np.arange(epochs))})
    for place, name in enumerate((*LOSSES, "downstream")):
        frame[f"loss/{name}"] = place + 1 / (1 + np.arange(epochs))
        if validation:
            frame[f"val_loss/{name}"] = place + 1.2 / (1 + np.arange(epochs))
    if validation:
        frame["val_probe"] = 0.7 + 0.01 * np.arange(epochs)
    frame["padding"] = 0.09
    return frame


def gap(mean: float, margin: float) -> dict[str, float]:
    """A difference with its interval."""
    return {"mean": mean, "error": margin / 2, "low": mean - margin, "high": mean + margin}


def training(**changes: Any) -> dict[str, Any]:
    """What model.json says about `trajectory` and `metrics`; all of their steps are kept."""
    content = {"kept": 3, "step": 190, "trained": 3, "planned": 3, "by": "probe", "score": 0.72}
    return {**content, "still_falling": None, "skipped": 0, "updates": 200, **changes}


def label_curve() -> dict[str, Any]:
    """What evaluation.json says of three shares; the embedding's score grows by 0.1 from each."""
    scores = {
        name: [[start, start + 0.02], [start + 0.1, start + 0.12], [start + 0.2]]
        for name, start in (
            ("embedding", 0.6),
            ("aggregates", 0.55),
            ("both", 0.6),
            ("untrained", 0.5),
        )
    }
    return {
        "fractions": [0.01, 0.1, 1],
        "fitted": [10.0, 100.0, 1000.0],
        "draws": [2, 2, 1],
        "scores": scores,
        "differences": {},
        "notes": ["Labels beyond the share chose the kept epoch of the encoder."],
    }


def evaluation(*, folds: bool = False, **changes: Any) -> dict[str, Any]:
    """Content of an evaluation.json; embedding level with aggregates, both above them."""
    test = {"embedding": 0.81, "aggregates": 0.80, "both": 0.85, "untrained": 0.76}
    validation = {name: value - 0.01 for name, value in test.items()}
    bins = {"predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.5, 0.8]}
    content: dict[str, Any] = {
        "dataset": "toy",
        "metric": "auc",
        "protocol": "5-fold" if folds else "holdout",
        "test": test,
        "std": dict.fromkeys(test, 0.02),
        "std_of": "folds" if folds else "bootstrap resamples of the test sequences",
        "validation": None if folds else validation,
        "folds": {name: [value] * 5 for name, value in test.items()} if folds else None,
        "differences": {
            "embedding - aggregates": gap(0.01, 0.02),
            "both - aggregates": gap(0.05, 0.02),
            "untrained - aggregates": gap(-0.04, 0.02),
            "embedding - untrained": gap(0.05, 0.02),
        },
        "constant": [],
        "further": {
            name: {"pr_auc": 0.6, "log_loss": 0.432, "brier": 0.2, "f1": 0.7} for name in test
        },
        "calibration": dict.fromkeys(test, bins),
        "combination": {
            "chosen": ["averaged"] * 3 + ["components"] * 2 if folds else ["averaged"],
            "shares": [0.5] * (5 if folds else 1),
            "inner": [dict.fromkeys(("averaged", "components", "concatenated"), 0.8)],
        },
        "chance": 0.5,
        "pooling": "last_mean_max",
        "poolings": {
            name: {"test": 0.7, "std": 0.03, "validation": None if folds else 0.69}
            for name in ("last", "mean", "max")
        },
        "label": "churn",
        "classes": ["no", "yes"],
        "local_labels": False,
        "n_labelled": {"train": 180, "val": 50, "test": 110},
        "n_scored": 340 if folds else 110,
        "labels_used": LabelsUsed("churn", "weights", 1.0, "probe").to_dict(),
        "head": None,
        "label_curve": None,
        "seed": 0,
        "classifier": {"name": "LightGBM", "n_estimators": 500, "seeds": 1 if folds else 3},
        "notes": [],
    }
    return {**content, **changes}


def finished_run(folder: Path) -> tuple[Path, Path]:
    """A run with every part, and its prepared folder."""
    prepared = prepared_folder(folder / "data", counts=(60, 20, 20))
    write_descriptions(prepared, SCHEMA, dropped={"row without an id": 3})
    run = folder / "run"
    write_embeddings(run, prepared)
    (run / "config.yaml").write_text(yaml.safe_dump({"weighting": {"name": "grap"}, "seed": 0}))
    (run / "environment.json").write_text(json.dumps({"python": "3.11", "seed": 0}))
    model = {"training": training(), "weights": "fake"}
    (run / "model.json").write_text(json.dumps(model))
    (run / "evaluation.json").write_text(json.dumps(evaluation()))
    metrics().to_csv(run / "metrics.csv", index=False)
    trajectory().to_parquet(run / "weights.parquet", index=False)
    belong(run, prepared)
    return run, prepared
