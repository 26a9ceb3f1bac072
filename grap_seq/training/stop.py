"""`trainer.max_steps`: stop inside an epoch, so that a resumed run continues at its next batch."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


def inside_epoch(trainer: lightning.Trainer) -> bool:
    """Whether batches of the current epoch are left."""
    return trainer.fit_loop.batch_idx + 1 < trainer.num_training_batches


class StopAfter(Callback):
    """Stops after a number of optimiser steps, and leaves checkpoints that say where.

    Lightning's own `max_steps` takes an epoch that it stops in for a finished one.

    Args:
        steps: number of steps of the whole run; -1: never.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._stop(trainer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._stop(trainer)

    def _stop(self, trainer: lightning.Trainer) -> None:
        if 0 <= self.steps <= trainer.global_step:
            trainer.should_stop = True

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        if not inside_epoch(trainer):
            return
        # Checkpoints are saved at what Lightning takes for the epoch's end. An epoch that is
        # started and not processed is one that it goes on with.
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts["processed"] = counts["started"] - 1
