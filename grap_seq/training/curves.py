"""metrics.csv, a row an epoch: losses, gradient norm, throughput, peak memory and scores.

The rows, and the sums of an epoch that is stopped inside, live in the checkpoint, so a resumed run
continues its curves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback

from grap_seq import seal
from grap_seq.batch import Batch
from grap_seq.terminal import say
from grap_seq.training import peak_memory
from grap_seq.training.base import TrainingModule
from grap_seq.training.epoch_means import EpochMeans
from grap_seq.training.progress import spoken
from grap_seq.training.stop import inside_epoch

Row = dict[str, float]
# How many times the losses of the first batch those of an epoch may be: random weights are no
# worse. Above the first number something is wrong; above the second the run has diverged.
WORSE, DIVERGED = 10, 1000


class Curves(Callback):
    """Collects what an epoch's row of metrics.csv says.

    Args:
        run: the run folder.
        log_every: steps between two rows of numbers of a step.
    """

    def __init__(self, run: Path, log_every: int = 10) -> None:
        self.run, self.log_every = run, log_every
        self.metrics: list[Row] = []
        self.step = 0
        self.unit = TrainingModule.unit
        # Sum of the losses of the run's first batch.
        self.first: float | None = None
        self._start()

    def _start(self) -> None:
        self._means, self._began = EpochMeans(finite_only=True), time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self._began
        means = self._means.state_dict()
        return {"metrics": self.metrics, "means": means, "seconds": seconds, "first": self.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Should the epoch be a new one, it begins with `_start`.
        self.metrics = list(state_dict["metrics"])
        self._means.load_state_dict(state_dict["means"])
        self.first = state_dict["first"]
        self._began = time.perf_counter() - state_dict["seconds"]

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        peak_memory.restart(pl_module.device)

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
        self.step = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        values, counts = entries(pl_module, "loss/")
        norm = pl_module.gradient_norm.to(pl_module.device)
        # With accumulated gradients only some batches end in an update, which is all processes'.
        updates = torch.full_like(norm, self.updated(trainer) / trainer.world_size)
        values |= {"gradient_norm": norm, "skipped": 1.0 - norm.isfinite().to(norm)}
        counts |= {"gradient_norm": updates, "skipped": updates}
        self.unit = pl_module.unit
        for name, size in (("events", batch.events), ("cells", pl_module.cells(batch))):
            values[name] = torch.full_like(norm, size, dtype=torch.float64)
            counts[name] = torch.ones_like(norm)
        self._means.add(values, counts)

    def updated(self, trainer: lightning.Trainer) -> bool:
        """Whether the current batch has ended in a step of the optimiser."""
        return bool(trainer.global_step > self.step)

    def logged(self, step: int) -> bool:
        """Whether the numbers of a step, counted from 1, are kept."""
        return step == 1 or step % self.log_every == 0

    def step_row(self, trainer: lightning.Trainer, module: TrainingModule) -> Row:
        """Numbers of a logged step that was just made; every process has to ask."""
        losses, _ = entries(module, "loss/")
        return over_processes(trainer, {name: float(loss) for name, loss in losses.items()})

    def close(self, trainer: lightning.Trainer, validation: Row, scores: Row) -> Row:
        """Finish the epoch's row and write metrics.csv; every process comes here, one writes.

        An epoch that the run stops in gets a row for the time being: a run that goes on replaces
        it by that of the whole epoch.

        Raises:
            FloatingPointError: the run has diverged, and no epoch before had not.
        """
        seconds = time.perf_counter() - self._began
        means, totals = self._means.means(), self._means.totals()
        row: Row = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row |= {name: value for name, value in means.items() if name.startswith("loss/")}
        row |= {f"val_loss/{name}": value for name, value in validation.items()}
        row |= {
            "gradient_norm": means["gradient_norm"],
            "skipped_updates": round(totals["skipped"]),
            "padding": 1 - totals["events"] / totals["cells"],
            "seconds": seconds,
            f"{self.unit}_per_second": totals["events"] / seconds,
            "peak_memory_mib": peak_memory.peak(trainer.strategy.root_device),
            **scores,
        }
        if self.first is None and self._means.first:
            self.first = _total(self._means.first)
        rows = [*self.metrics, row]
        if not inside_epoch(trainer):
            self.metrics = rows
            self._start()
        if trainer.is_global_zero:
            with seal.write(self.run, "metrics.csv") as temporary:
                pd.DataFrame(rows).to_csv(temporary, index=False)
            assert trainer.max_epochs is not None
            left = 0 if inside_epoch(trainer) else trainer.max_epochs - len(rows)
            mean = sum(row["seconds"] for row in rows) / len(rows)
            told = f"epoch {len(rows)}/{trainer.max_epochs}"
            _tell(told, row, self.unit, scores, left * mean, self._times_the_first(row))
        if min(map(self._times_the_first, rows)) > DIVERGED:
            raise FloatingPointError(
                f"the losses of epoch {len(rows)} are {self._times_the_first(row):,.0f} times those"
                " of the first batch: the run has diverged. Lower lr"
            )
        return row

    def _times_the_first(self, row: Row) -> float:
        return _total(row) / self.first if self.first else 0.0


def entries(
    module: TrainingModule, prefix: str = ""
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Losses of the module's last batch and their numbers of entries, shape () each, by name."""
    values = {f"{prefix}{name}": loss for name, loss in module.losses.items()}
    counts = {f"{prefix}{name}": module.counts[name] for name in module.losses}
    return values, counts


def over_processes(trainer: lightning.Trainer, row: Row) -> Row:
    """Mean of every entry over the processes, all of which come here with the same names."""
    if trainer.world_size == 1:
        return row
    device = trainer.strategy.root_device
    values = torch.tensor(list(row.values()), dtype=torch.float64, device=device)
    means = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(row, means.tolist(), strict=True))


def _total(means: Row) -> float:
    """Sum of the losses; one without an entry has no mean, and counts for nothing."""
    return sum(v for name, v in means.items() if name.startswith("loss/") and v == v)


def _tell(epoch: str, row: Row, unit: str, scores: Row, left: float, times: float) -> None:
    shown = "".join(f"  {name} {value:.4f}" for name, value in scores.items())
    skipped = row["skipped_updates"]
    warned = f"  {skipped} updates skipped: gradients were not finite" if skipped else ""
    if times > WORSE:
        warned += f"  The losses are {times:,.0f} times those of the first batch: lower lr."
    speed = f"  {row[f'{unit}_per_second']:,.0f} {unit}/s  {row['seconds']:.0f} s"
    rest = f", {spoken(left)} left" if left else ""
    say(f"{epoch}{shown}{speed}{rest}{warned}")
