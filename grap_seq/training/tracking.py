"""What trackers are told while a run trains: every logged step and every epoch.

Names are those of metrics.csv and weights.parquet: as they are for a step, below `epoch/` for an
epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from grap_seq.batch import Batch
from grap_seq.trackers.background import Background
from grap_seq.trackers.kinds import Status
from grap_seq.training import peak_memory
from grap_seq.training.base import TrainingModule
from grap_seq.training.curves import Curves, over_processes
from grap_seq.training.stop import inside_epoch

# Every row is told its step anyway.
COUNTED = ("step", "epoch", "epoch/step", "epoch/epoch")


class Tracking(Callback):
    """Sends rows to trackers; the first process alone has any.

    Args:
        names: of the trackers.
        curves: which knows the rows; stands before this callback.
        settings: of the run, by dotted key.
    """

    def __init__(self, names: Sequence[str], curves: Curves, settings: Mapping[str, Any]) -> None:
        self.names, self.curves, self.settings = tuple(names), curves, dict(settings)
        self._trackers: list[Background] = []
        self._events, self._since = 0, perf_counter()

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if trainer.is_global_zero:
            step = trainer.global_step
            self._trackers = [Background(name, self.curves.run, step) for name in self.names]
        for tracker in self._trackers:
            tracker.do(lambda tracked: tracked.begin(self.settings))
        self._restart()

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._restart()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        self._events += batch.events
        due = self.curves.updated(trainer) and self.curves.logged(trainer.global_step)
        if not (self.names and due):
            return
        speed = {f"{pl_module.unit}_per_second": self._events / (perf_counter() - self._since)}
        speed = {k: v * trainer.world_size for k, v in over_processes(trainer, speed).items()}
        row = {
            **self.curves.step_row(trainer, pl_module),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **speed,
            "peak_memory_mib": peak_memory.peak(pl_module.device),
        }
        self._send(row, trainer.global_step)
        self._restart()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # An epoch that the run stops in is told about when it is whole.
        if not inside_epoch(trainer):
            row = {f"epoch/{name}": value for name, value in self.curves.metrics[-1].items()}
            self._send(row, trainer.global_step)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._close("success")

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        self._close("failed" if isinstance(exception, Exception) else "stopped")

    def _restart(self) -> None:
        self._events, self._since = 0, perf_counter()

    def _send(self, row: dict[str, float], step: int) -> None:
        values = {k: v for k, v in row.items() if k not in COUNTED}
        for tracker in self._trackers:
            tracker.do(lambda tracked: tracked.log(values, step))

    def _close(self, status: Status) -> None:
        trackers, self._trackers = self._trackers, []
        for tracker in trackers:
            tracker.do(lambda tracked: tracked.end(status))
            tracker.close()
