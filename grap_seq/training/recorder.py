"""Curves of pretraining: besides metrics.csv, validation losses and the weights' trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from grap_seq.batch import Batch
from grap_seq.training.base import TrainingModule
from grap_seq.training.curves import Curves, Row, entries, over_processes
from grap_seq.training.epoch_means import EpochMeans
from grap_seq.training.trajectory import append
from grap_seq.training.weighed import WeighedModule


class Recorder(Curves):
    """Collects losses, weights, cosines, throughput and padding.

    Args:
        run: the run folder.
        log_every: steps between two rows of the weights' trajectory.
    """

    def __init__(self, run: Path, log_every: int = 10) -> None:
        super().__init__(run, log_every)
        self._validation = EpochMeans()
        # Rows of steps after `_written`, the last one that weights.parquet covers. Checkpoints
        # inside an epoch hold them; at its end they are in the file.
        self._rows: list[Row] = []
        self._written = 0

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"written": self._written, "rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._written, self._rows = state_dict["written"], list(state_dict["rows"])

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._validation = EpochMeans()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        assert isinstance(pl_module, WeighedModule)
        # Methods without a Gram matrix form one for the log alone.
        pl_module.weighting.watching = self.logged(trainer.global_step + 1)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        assert isinstance(pl_module, WeighedModule)
        if self.updated(trainer) and self.logged(trainer.global_step):
            now = {"step": trainer.global_step, "epoch": trainer.current_epoch}
            logged = pl_module.weighting.log()
            # The weighting knows this process's share of a loss alone.
            whole = {k: v for k, v in logged.items() if k.startswith("loss/")}
            self._rows.append({**now, **logged, **over_processes(trainer, whole)})

    def step_row(self, trainer: lightning.Trainer, module: TrainingModule) -> Row:
        return self._rows[-1]

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._validation = EpochMeans()

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(pl_module, WeighedModule)
        self._validation.add(*entries(pl_module))

    def validation_losses(self) -> Row:
        """Mean of every validation loss over all entries; every process has to ask."""
        return self._validation.means()

    def close(self, trainer: lightning.Trainer, validation: Row, scores: Row) -> Row:
        # Before any checkpoint of this step: what a checkpoint counts as written is on the disk.
        if trainer.is_global_zero:
            append(self.run, self._rows, after=self._written)
        self._rows, self._written = [], trainer.global_step
        return super().close(trainer, validation, scores)
