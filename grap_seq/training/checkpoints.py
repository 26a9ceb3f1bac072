"""When a run saves itself, and which epoch's weights it keeps.

It does at the end of an epoch where that costs little, every `checkpoint_every`, when it is told to
stop, and when it ends. A checkpoint holds the best weights so far too, so that one file is all that
a run needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from grap_seq.settings import DURATION
from grap_seq.terminal import detail
from grap_seq.training.checkpoint_files import STATE, name_of
from grap_seq.training.criterion import Criterion
from grap_seq.training.signals import Signals
from grap_seq.training.stop import inside_epoch

SCORE = "score"
# Whether the higher or the lower score is the better one.
MODES = {"probe": "max", "loss": "min"}
SECONDS = {"s": 1, "min": 60, "h": 3600}
# An epoch's end is saved where so many times the time of writing one has passed since the last.
CHEAP = 100
# Several processes ask each other only so often whether one was told to stop.
ASKED = 10


@dataclass(frozen=True)
class Interval:
    """Time or steps between two checkpoints inside an epoch.

    Attributes:
        seconds: the time, unless steps are given.
        steps: optimiser steps; None: it is a time.
    """

    seconds: float = 600.0
    steps: int | None = None

    @classmethod
    def parse(cls, text: str | int) -> Interval:
        """What a valid `checkpoint_every` means."""
        found = re.fullmatch(DURATION, str(text))
        if found is None:
            return cls(steps=int(text))
        return cls(seconds=float(found[1]) * SECONDS[found[2]])


class Checkpoints(Checkpoint):
    """Saves a run and remembers its best weights.

    Args:
        run: the run folder.
        by: what chooses the epoch whose weights are kept.
        interval: time or steps between two checkpoints inside an epoch.
        every: epochs between two scores.
    """

    def __init__(
        self, run: Path, by: Criterion, interval: Interval = Interval(), every: int = 1
    ) -> None:
        self.run, self.by, self.interval, self.every = run, by, interval, every
        self.signals = Signals()
        self.best: dict[str, Any] | None = None
        self.ended = False
        self._validating = False
        self._saved, self._cost, self._step = perf_counter(), 0.0, 0

    @property
    def state_key(self) -> str:
        return STATE

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self.signals.listen()
        self._saved, self._step = perf_counter(), trainer.global_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # Gradients that are still being summed up are in no checkpoint.
        updated = trainer.global_step > self._step
        self._step = trainer.global_step
        if updated and inside_epoch(trainer):
            self._save_if(trainer, self._due(trainer))

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._validating = True
        self._save_if(trainer, False, batch_idx)
        self._validating = False

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        whole = not inside_epoch(trainer)
        if whole and (trainer.current_epoch + 1) % self.every == 0 and self.by != "last":
            self._remember(trainer)
        assert trainer.max_epochs is not None
        last = trainer.current_epoch + 1 >= trainer.max_epochs
        # `trainer.max_steps` is no end: a run goes on from there.
        waited = any(
            isinstance(other, EarlyStopping) and other.wait_count >= other.patience
            for other in trainer.callbacks  # type: ignore[attr-defined]
        )
        self.ended = whole and (last or waited)
        cheap = perf_counter() - self._saved >= CHEAP * self._cost
        self._save_if(trainer, trainer.strategy.broadcast(cheap) or last or trainer.should_stop, 0)

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        if self._validating:
            # Lightning goes on with a validation that has begun and has no batch behind it.
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for counts in (progress["total"], progress["current"]):
                counts |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}

    def _due(self, trainer: lightning.Trainer) -> bool:
        if self.interval.steps is not None:
            return trainer.global_step % self.interval.steps == 0
        return perf_counter() - self._saved >= self.interval.seconds

    def _save_if(self, trainer: lightning.Trainer, due: bool, count: int | None = None) -> None:
        """Save where it is time or the run was told to stop; then do.

        Args:
            trainer: the trainer.
            due: whether it is time.
            count: number of the batch; several processes come here with the same ones.

        Raises:
            SystemExit: the run was told to stop.
        """
        asked = trainer.global_step if count is None else count
        alike = due and self.interval.steps is not None
        if trainer.world_size > 1 and asked % ASKED and not alike:
            return
        stop = self._any(trainer, self.signals.received is not None)
        if not (stop or self._any(trainer, due)):
            return
        began = perf_counter()
        trainer.save_checkpoint(self.run / name_of(trainer.global_step))
        self._saved = perf_counter()
        self._cost = self._saved - began
        if trainer.is_global_zero:
            detail(f"checkpoint at step {trainer.global_step}, in {self._cost:.2g} s")
        if stop:
            self.signals.stop(trainer.is_global_zero, self.run, trainer.global_step)

    def _any(self, trainer: lightning.Trainer, decision: bool) -> bool:
        return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))

    def _remember(self, trainer: lightning.Trainer) -> None:
        score = float(trainer.callback_metrics[SCORE])
        sign = 1 if MODES[self.by] == "max" else -1
        # A score that is not a number is never the best, and never stays it.
        if score != score and self.best is not None:
            return
        earlier = None if self.best is None else self.best["score"]
        if earlier is None or earlier != earlier or sign * score > sign * earlier:
            state = trainer.strategy.lightning_module_state_dict()
            copied = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
            self.best = {"score": score, "epoch": trainer.current_epoch, "state_dict": copied}
