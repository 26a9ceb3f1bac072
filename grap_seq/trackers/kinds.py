"""Lightning's loggers, and what each needs besides: the same run again, and the report.

Addresses, projects and keys are the trackers' own environment variables.
"""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from grap_seq.files import file_name
from grap_seq.seal import EVENTS

Status = Literal["success", "stopped", "failed"]
PROJECT = "grap_seq"
# By this tag a run that goes on finds itself.
TAG = "grap_seq.run"


class Tracked(ABC):
    """A run in a tracker.

    Args:
        run: the run folder.
        id: of the run, the same when it goes on.
        step: optimiser steps that are behind it.
    """

    logger: Logger

    @abstractmethod
    def __init__(self, run: Path, id: str, step: int) -> None: ...

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Say the settings, by dotted key."""
        self.logger.log_hyperparams(dict(settings))

    def log(self, row: Mapping[str, float], step: int) -> None:
        self.logger.log_metrics(dict(row), step)

    @abstractmethod
    def attach(self, path: Path) -> None:
        """Add a file to a run that nobody trains; nothing where the tracker holds none."""

    def end(self, status: Status) -> None:
        self.logger.finalize(status)


class TensorBoard(Tracked):
    """Event files in the run folder; `tensorboard --logdir` of the folder of runs shows them."""

    def __init__(self, run: Path, id: str, step: int) -> None:
        # What a killed run has logged behind its checkpoint is logged again.
        purge = step + 1 if step else None
        self.logger = TensorBoardLogger(run, name="", version=EVENTS, purge_step=purge)

    def attach(self, path: Path) -> None:
        """Event files hold no others."""


class MLflow(Tracked):
    """A run of the experiment MLFLOW_EXPERIMENT_NAME at MLFLOW_TRACKING_URI."""

    logger: MLFlowLogger

    def __init__(self, run: Path, id: str, step: int) -> None:
        import mlflow

        # A server that does not answer is reported once, by us.
        for name in ("urllib3.connectionpool", "lightning.pytorch.loggers.mlflow", "mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        client = mlflow.MlflowClient()
        known = client.get_experiment_by_name(experiment)
        filtered = f"tags.`{TAG}` = '{id}'"
        earlier = client.search_runs([known.experiment_id], filtered) if known else []
        self.known = earlier[0].info.run_id if earlier else None
        self.logger = MLFlowLogger(
            experiment,
            run_name=run.resolve().name,
            tracking_uri=mlflow.get_tracking_uri(),
            tags={TAG: id},
            run_id=self.known,
        )

    def begin(self, settings: Mapping[str, Any]) -> None:
        if self.known:
            # Its settings cannot be changed any more.
            self.logger.experiment.update_run(self.known, "RUNNING")
        else:
            super().begin({_plain(key): value for key, value in settings.items()})

    def log(self, row: Mapping[str, float], step: int) -> None:
        super().log({_plain(name): value for name, value in row.items()}, step)

    def attach(self, path: Path) -> None:
        self.logger.experiment.log_artifact(self.logger.run_id, str(path))

    def end(self, status: Status) -> None:
        self.logger.finalize("KILLED" if status == "stopped" else status)


class Wandb(Tracked):
    """A run of the project WANDB_PROJECT; WANDB_MODE=offline keeps it on this machine."""

    logger: WandbLogger

    def __init__(self, run: Path, id: str, step: int) -> None:
        import wandb

        os.environ.setdefault("WANDB_SILENT", "true")
        # Lightning would take a run of the user's own for this one.
        started = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.resolve().name,
            id=id,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off"),
        )
        started.define_metric("trainer/global_step")
        started.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        self.logger = WandbLogger(experiment=started)

    def attach(self, path: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{path.stem}-{self.logger.version}", path.stem)
        artifact.add_file(str(path))
        self.logger.experiment.log_artifact(artifact)
        self.end("success")

    def end(self, status: Status) -> None:
        super().end(status)
        self.logger.experiment.finish(exit_code=int(status == "failed"))


KINDS: dict[str, type[Tracked]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": Wandb}


def _plain(name: str) -> str:
    """A name in the letters that MLflow takes, another one for every name."""
    parts = (file_name(part) or "_" for part in name.split("/"))
    # A file's name has few other letters, the sign before a code among them.
    return re.sub(r"[^\w. /-]", _code, "/".join(parts))


def _code(found: re.Match[str]) -> str:
    return "_x" if found[0] == "%" else f"_x{ord(found[0]):02X}"
