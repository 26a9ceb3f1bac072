"""What a run folder holds, read once; a part that is missing is None."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes:
        name: Name of the folder.
        config: The resolved config.
        config_text: The same as YAML.
        environment: Versions, machine and commit.
        training: Which epoch was kept and why, see `grap_seq.training.summary`.
        metrics: One row an epoch: epoch, step, loss/<name>, val_loss/<name>, val_probe.
        weights: One row a logged step up to the kept epoch's last: step, epoch, weight/<name>,
            cosine/<name>.
        evaluation: evaluation.json, unless an older version wrote it.
        further: Folders and contents of the evaluations of further labels.
    """

    name: str
    config: dict[str, Any] | None
    config_text: str | None
    environment: dict[str, Any] | None
    training: dict[str, Any] | None
    metrics: pd.DataFrame | None
    weights: pd.DataFrame | None
    evaluation: dict[str, Any] | None
    further: dict[Path, dict[str, Any]]

    @property
    def weighting(self) -> str | None:
        """Name of the weighting method."""
        name = (self.config or {}).get("weighting", {}).get("name")
        return None if name is None else str(name)


def read(run: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run} is not a run folder; make one with `grap-seq pretrain`")
    config_text = _text(run / "config.yaml")
    environment, evaluation = (_text(run / f"{n}.json") for n in ("environment", "evaluation"))
    model = _text(run / "model.json")
    training = json.loads(model).get("training") if model else None
    metrics, weights = run / "metrics.csv", run / "weights.parquet"
    trajectory = pd.read_parquet(weights) if weights.is_file() else None
    if trajectory is not None and training is not None:
        # What came later is not in the model.
        trajectory = trajectory[trajectory["step"] <= training["step"]]
    return RunFiles(
        name=run.resolve().name,
        config=yaml.safe_load(config_text) if config_text else None,
        config_text=config_text,
        environment=json.loads(environment) if environment else None,
        training=training,
        metrics=pd.read_csv(metrics) if metrics.is_file() else None,
        weights=trajectory,
        evaluation=_current(json.loads(evaluation)) if evaluation else None,
        further={
            path.parent: json.loads(path.read_text("utf-8"))
            for path in sorted((run / "labels").glob("*/evaluation.json"))
        },
    )


def _current(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    return evaluation if "label_curve" in evaluation else None


def columns(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The columns `prefix/<name>`, renamed to `<name>`."""
    chosen = [name for name in frame.columns if name.startswith(f"{prefix}/")]
    return frame[chosen].rename(columns=lambda name: name.removeprefix(f"{prefix}/"))


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None
