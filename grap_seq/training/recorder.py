"""Curves of a run: metrics.csv (a row an epoch) and weights.parquet (a row a logged step).

The rows live in the checkpoint too, so a resumed run continues its curves.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from grap_seq.data.batch import padding_share
from grap_seq.files import atomic_write
from grap_seq.training.module import Batch, PretrainModule

Row = dict[str, float]


class Recorder(Callback):
    """Collects losses, weights, cosines, throughput and padding.

    Args:
        run: the run folder.
        log_every: steps between two rows of the weights' trajectory.
    """

    def __init__(self, run: Path, log_every: int = 10) -> None:
        self.run, self.log_every = run, log_every
        self.metrics: list[Row] = []
        self.trajectory: list[Row] = []
        self._start()

    def _start(self) -> None:
        self._train: dict[str, list[Any]] = defaultdict(list)
        self._validation: dict[str, list[Any]] = defaultdict(list)
        self._events, self._padding, self._began = 0, list[float](), time.perf_counter()
        self._norms: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "trajectory": self.trajectory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics, self.trajectory = state_dict["metrics"], state_dict["trajectory"]

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._start()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        # Methods without a Gram matrix form one for the log alone.
        pl_module.objective.weighting.watching = self._logged(trainer.global_step + 1)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        for name, loss in pl_module.losses.items():
            self._train[name].append(loss.detach())
        self._events += sum(int(group.seq_lens.sum()) for group in batch)
        self._padding.append(padding_share(batch))
        self._norms.append(float(pl_module.gradient_norm))
        if self._logged(trainer.global_step):
            place = {"step": trainer.global_step, "epoch": trainer.current_epoch}
            logged = pl_module.objective.weighting.log()
            # The weighting knows this process's share of a loss alone.
            whole = {k: v for k, v in logged.items() if k.startswith("loss/")}
            self.trajectory.append({**place, **logged, **_over_processes(trainer, whole)})

    def _logged(self, step: int) -> bool:
        return step == 1 or step % self.log_every == 0

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for name, loss in outputs.items():
            self._validation[name].append(loss.detach())

    def validation_losses(self, trainer: lightning.Trainer) -> Row:
        """Mean of every validation loss of the current epoch, over all processes."""
        losses = {name: _mean(values) for name, values in self._validation.items()}
        return _over_processes(trainer, losses)

    def end_epoch(self, trainer: lightning.Trainer, **extra: float) -> None:
        """Close the epoch's row and write both files; every process comes here, one writes."""
        seconds = time.perf_counter() - self._began
        losses = {f"loss/{name}": _mean(values) for name, values in self._train.items()}
        validation = self.validation_losses(trainer)
        shared = {"padding": _mean(self._padding), "events": float(self._events)}
        means = _over_processes(trainer, losses | shared)
        row: Row = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row |= {name: means[name] for name in losses}
        row |= {f"val_loss/{name}": value for name, value in validation.items()}
        row |= {
            "gradient_norm": _mean(self._norms),
            "padding": means["padding"],
            "seconds": seconds,
            "events_per_second": means["events"] * trainer.world_size / seconds,
            **extra,
        }
        self.metrics.append(row)
        if not trainer.is_global_zero:
            return
        self.write()
        scores = "".join(f"  {name} {value:.4f}" for name, value in extra.items())
        Console().print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{scores}"
            f"  {row['events_per_second']:,.0f} events/s  {seconds:.0f} s",
            highlight=False,
        )

    def write(self) -> None:
        """Write metrics.csv and weights.parquet."""
        with atomic_write(self.run / "metrics.csv") as temporary:
            pd.DataFrame(self.metrics).to_csv(temporary, index=False)
        if self.trajectory:
            with atomic_write(self.run / "weights.parquet") as temporary:
                pd.DataFrame(self.trajectory).to_parquet(temporary, index=False)


def _over_processes(trainer: lightning.Trainer, row: Row) -> Row:
    """Mean of every entry over the processes, all of which come here with the same names."""
    device = trainer.strategy.root_device
    values = torch.tensor(list(row.values()), dtype=torch.float64, device=device)
    means = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(row, means.tolist(), strict=True))


def _mean(values: list[Any]) -> float:
    return float(sum(values) / len(values)) if values else float("nan")
