"""Several small runs to compare, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.pages.fake import evaluation, metrics, training, trajectory
from tests.sealed import reseal


def write_run(
    folder: Path,
    weighting: str = "grap",
    seed: int = 0,
    *,
    score: float | None = 0.8,
    dataset: str = "toy",
    data: str = "d" * 64,
    settings: dict[str, Any] | None = None,
    seconds: float = 10.0,
    weight: float = 2.0,
) -> Path:
    """A finished run, whose weight of `coles` ends at `weight`, in three epochs of `seconds`."""
    folder.mkdir(parents=True)
    config = {
        "dataset": {"name": dataset},
        "encoder": {"name": "gru"},
        "weighting": {"name": weighting},
        "seed": seed,
        "run": str(folder),
        "lr": 0.002,
        **(settings or {}),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "environment.json").write_text(json.dumps({"packages": {}, "commit": "abc"}))
    model = {"training": training(), "weights": f"model {folder.name}"}
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "model.safetensors").write_bytes(b"weights")
    if score is not None:
        test = {"embedding": score, "aggregates": 0.7, "both": 0.75, "untrained": 0.6}
        of = {"model": model["weights"], "data": data}
        result = evaluation(test=test, made_of=of, dataset=dataset)
        (folder / "evaluation.json").write_text(json.dumps(result))
    curves = metrics()
    # 40 steps an epoch, see `metrics`.
    curves["seconds"], curves["peak_memory_mib"] = seconds, 500.0 + 100 * seed
    curves["val_loss/coles"] = [3.0 + seed, 2.0 + seed, 1.0 + seed]
    curves.to_csv(folder / "metrics.csv", index=False)
    steps: pd.DataFrame = trajectory()
    steps["weight/coles"] = [1 + (weight - 1) * place / 19 for place in range(20)]
    steps.to_parquet(folder / "weights.parquet", index=False)
    reseal(folder)
    return folder
