"""What a run folder holds, read once; a part that is missing is None."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from grap_seq import seal

Content = TypeVar("Content")
EVALUATION, LABELS, PROBE = "evaluation.json", "labels", "probe.json"
# What makes a file that training does not.
COMMANDS = {EVALUATION: "evaluate"}


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes:
        name: Name of the folder.
        config: The resolved config.
        config_text: The same as YAML.
        environment: Versions, machine and commit.
        model: model.json.
        metrics: One row an epoch: epoch, step, loss/<name>, val_loss/<name>, val_probe.
        weights: One row a logged step up to the kept epoch's last: step, epoch, weight/<name>,
            cosine/<name>.
        evaluation: evaluation.json.
        further: Folders and contents of the evaluations of further labels.
    """

    name: str
    config: dict[str, Any] | None
    config_text: str | None
    environment: dict[str, Any] | None
    model: dict[str, Any] | None
    metrics: pd.DataFrame | None
    weights: pd.DataFrame | None
    evaluation: dict[str, Any] | None
    further: dict[Path, dict[str, Any]]

    @property
    def training(self) -> dict[str, Any] | None:
        """Which epoch was kept and why, see `grap_seq.training.summary`."""
        return None if self.model is None else self.model.get("training")

    @property
    def weighting(self) -> str | None:
        """Name of the weighting method."""
        name = (self.config or {}).get("weighting", {}).get("name")
        return None if name is None else str(name)


def read(run: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A file is damaged, or of another run.
    """
    check_run(run)
    model = _read(run, "model.json", _json)
    training = None if model is None else model.get("training")
    trajectory = _read(run, "weights.parquet", pd.read_parquet)
    if trajectory is not None and training is not None:
        # What came later is not in the model.
        trajectory = trajectory[trajectory["step"] <= training["step"]]
    config = _read(run, "config.yaml", lambda path: path.read_text("utf-8"))
    further = sorted((run / LABELS).glob(f"*/{EVALUATION}"))
    return RunFiles(
        name=run.resolve().name,
        config=None if config is None else yaml.safe_load(config),
        config_text=config,
        environment=_read(run, "environment.json", _json),
        model=model,
        metrics=_read(run, "metrics.csv", pd.read_csv),
        weights=trajectory,
        evaluation=_read(run, EVALUATION, _json),
        further={
            path.parent: _json(_checked(run, path.relative_to(run).as_posix())) for path in further
        },
    )


def check_run(run: Path) -> None:
    """Refuse what is no folder.

    Raises:
        FileNotFoundError: There is none.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run} is not a run folder; make one with `grap-seq pretrain`")


def columns(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The columns `prefix/<name>`, renamed to `<name>`."""
    chosen = [name for name in frame.columns if name.startswith(f"{prefix}/")]
    return frame[chosen].rename(columns=lambda name: name.removeprefix(f"{prefix}/"))


def _read(run: Path, name: str, parse: Callable[[Path], Content]) -> Content | None:
    return parse(_checked(run, name)) if (run / name).is_file() else None


def _checked(run: Path, name: str) -> Path:
    made = COMMANDS.get(Path(name).name, "pretrain")
    remedy = f"restore it from a copy, or make it again with `grap-seq {made} run={run}`"
    if run.parent.name == LABELS and not (run / seal.FILE).exists():
        # The evaluation of a further label is a file of the run.
        run, name = run.parents[1], f"{LABELS}/{run.name}/{name}"
    return seal.check(run, name, remedy)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content
