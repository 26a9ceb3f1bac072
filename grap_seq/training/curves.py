"""metrics.csv, a row an epoch: losses, gradient norm, throughput and scores.

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
from grap_seq.training.base import TrainingModule
from grap_seq.training.epoch_means import EpochMeans
from grap_seq.training.progress import spoken
from grap_seq.training.stop import inside_epoch

Row = dict[str, float]


class Curves(Callback):
    """Collects what an epoch's row of metrics.csv says.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.metrics: list[Row] = []
        self.step = 0
        self._start()

    def _start(self) -> None:
        self._means, self._began = EpochMeans(), time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self._began
        return {"metrics": self.metrics, "means": self._means.state_dict(), "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Should the epoch be a new one, it begins with `_start`.
        self.metrics = list(state_dict["metrics"])
        self._means.load_state_dict(state_dict["means"])
        self._began = time.perf_counter() - state_dict["seconds"]

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
        finite = norm.isfinite()
        values |= {"gradient_norm": norm.nan_to_num(0, 0, 0), "skipped": 1.0 - finite.to(norm)}
        counts |= {"gradient_norm": updates * finite, "skipped": updates}
        for name, size in (("events", batch.events), ("cells", _cells(pl_module, batch))):
            values[name] = torch.full_like(norm, size, dtype=torch.float64)
            counts[name] = torch.ones_like(norm)
        self._means.add(values, counts)

    def updated(self, trainer: lightning.Trainer) -> bool:
        """Whether the current batch has ended in a step of the optimiser."""
        return bool(trainer.global_step > self.step)

    def close(self, trainer: lightning.Trainer, validation: Row, scores: Row) -> Row:
        """Finish the epoch's row and write metrics.csv; every process comes here, one writes.

        An epoch that the run stops in gets a row for the time being: a run that goes on replaces
        it by that of the whole epoch.
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
            "events_per_second": totals["events"] / seconds,
            **scores,
        }
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
            _tell(f"epoch {len(rows)}/{trainer.max_epochs}", row, scores, left * mean)
        return row


def entries(
    module: TrainingModule, prefix: str = ""
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Losses of the module's last batch and their numbers of entries, shape () each, by name."""
    values = {f"{prefix}{name}": loss for name, loss in module.losses.items()}
    counts = {f"{prefix}{name}": module.counts[name] for name in module.losses}
    return values, counts


def _cells(module: Any, batch: Batch) -> int:
    """Cells that hold the events where the encoder reads rectangles, padding included."""
    if not getattr(module.model.encoder, "reads_rectangles", True):
        return batch.events
    return batch.layout.rectangles.size


def _tell(epoch: str, row: Row, scores: Row, left: float) -> None:
    shown = "".join(f"  {name} {value:.4f}" for name, value in scores.items())
    skipped = row["skipped_updates"]
    warned = f"  {skipped} updates skipped: gradients were not finite" if skipped else ""
    speed = f"  {row['events_per_second']:,.0f} events/s  {row['seconds']:.0f} s"
    rest = f", {spoken(left)} left" if left else ""
    say(f"{epoch}{shown}{speed}{rest}{warned}")
