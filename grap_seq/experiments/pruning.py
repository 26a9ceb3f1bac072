"""End a trial whose epochs score less than those of the trials before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from grap_seq import config as configs
from grap_seq.experiments.plan import Experiment
from grap_seq.training.checkpoints import SCORE

NONE, MEDIAN = "none", "median"


class Pruned(BaseException):
    """A run was ended by the trial that it belongs to: no error, like an interrupt."""


class Prune(Callback):
    """Tells a trial of Optuna the score of every epoch, and ends the run where it says so.

    Args:
        trial: of a study with a pruner.

    Attributes:
        early: whether an epoch before the last one had a score, so that the run could have been
            ended; None: it has not trained.
    """

    def __init__(self, trial: Any) -> None:
        self.trial = trial
        self.early: bool | None = None

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self.early = False

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        score = trainer.callback_metrics.get(SCORE)
        if score is None:
            # `validate_every` has left this epoch out.
            return
        assert trainer.max_epochs is not None
        self.early = self.early or trainer.current_epoch + 1 < trainer.max_epochs
        self.trial.report(score.item(), trainer.current_epoch)
        if self.trial.should_prune():
            raise Pruned


def pruner(name: str) -> Any:
    """Optuna's.

    `median` ends a trial whose best epoch so far scores below the median of what the finished
    trials had scored by this epoch, from the sixth trial on.
    """
    from optuna import pruners

    return {NONE: pruners.NopPruner, MEDIAN: pruners.MedianPruner}[name]()


def scoring(experiment: Experiment) -> Sequence[str]:
    """Settings of runs that can be pruned: those of the user, and `select=probe`.

    Losses do not compare trials: other weights make another sum of them.

    Raises:
        ValueError: the user's settings do not score epochs by labels, or take several processes.
    """
    told = dict(word.split("=", 1) for word in experiment.settings)
    if told.get("select", "probe") != "probe":
        raise ValueError(
            f"pruner=median compares trials by the probe of every epoch: leave out "
            f"with.select={told['select']}, or use pruner=none"
        )
    # Constant weights are not known before a trial has them.
    trainer = configs.compose("pretrain", replace(experiment, method="equal").training).trainer
    if trainer.devices * trainer.nodes > 1:
        raise ValueError("pruner=median is for runs of one process: use pruner=none")
    return (*experiment.settings, *(() if "select" in told else ("select=probe",)))
