"""How long a run will take: said after its first steps, shown by a bar over the whole run."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from grap_seq.terminal import progress, say

# So many batches are timed, behind as many that find caches cold.
TIMED = 10
# A validation batch has no backward pass.
VALIDATION = 1 / 3


class WholeRun(Callback):
    """The estimate and the bar.

    Args:
        steps: optimiser steps after which the run stops; -1: after its epochs.
    """

    def __init__(self, steps: int = -1) -> None:
        self.steps = steps
        self.bar: Progress | None = None
        self._times: list[float] = []
        self._before: float | None = None

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._times = []
        if trainer.is_global_zero:
            columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self.bar = progress(*columns)
            self.bar.add_task("training", total=self._total(trainer))
            self.bar.start()

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # Between two epochs lies what is no batch.
        self._before = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if not trainer.is_global_zero:
            return
        done = trainer.fit_loop.total_batch_idx + 1
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done)
        now = perf_counter()
        if self._before is not None and len(self._times) < 2 * TIMED:
            self._times.append(now - self._before)
            if len(self._times) == 2 * TIMED:
                self._tell(trainer, done)
        self._before = now

    def _total(self, trainer: lightning.Trainer) -> int:
        """Batches of the whole run."""
        assert trainer.max_epochs is not None
        total = trainer.max_epochs * int(trainer.num_training_batches)
        return total if self.steps < 0 else min(total, self.steps * trainer.accumulate_grad_batches)

    def _tell(self, trainer: lightning.Trainer, done: int) -> None:
        left = self._total(trainer) - done
        validated = sum(trainer.num_val_batches) / (trainer.check_val_every_n_epoch or 1)
        validating = validated * VALIDATION / int(trainer.num_training_batches)
        one = statistics.median(self._times[TIMED:])
        say(
            f"About {spoken(left * (1 + validating) * one)} to train, at {one:.2g} s a batch:"
            f" {left:,} batches are left, early stopping and scores aside."
        )

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._close()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def spoken(seconds: float) -> str:
    """A duration to two digits: "40 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    minutes = seconds / 60
    return f"{minutes:.2g} min" if minutes < 99.5 else f"{minutes / 60:.2g} h"
