"""Lightning's view of the data: loaders that depend on (seed, epoch) alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from grap_seq.batch import Batch
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches, Epochs, Places, loader
from grap_seq.data.sequences import Sequences
from grap_seq.layout import MAX_PADDING
from grap_seq.training.stop import inside_epoch


class PretrainData(lightning.LightningDataModule):
    """Training batches of the trainer's epoch, and fixed validation batches.

    Args:
        prepared: the prepared folder.
        policy: how training sequences are cut.
        batch_size: sequences in a batch of one process.
        seed: seed of the run.
        max_padding: largest share of padded cells.
        workers: processes that build batches.
        labelled: train on labelled sequences alone, without validation batches.
        fraction: share of the training labels that training sees, see `grap_seq.data.fraction`.
        label: which of several labels; None: the first.

    Attributes:
        train: the training split with all its labels.
        val: the validation split.
    """

    def __init__(
        self,
        prepared: Path,
        policy: CropPolicy,
        batch_size: int,
        *,
        seed: int = 0,
        max_padding: float = MAX_PADDING,
        workers: int = 0,
        labelled: bool = False,
        fraction: float = 1.0,
        label: str | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val = (Sequences(prepared, split, label) for split in ("train", "val"))
        self._seen, self.labelled = self.train.with_labels(fraction), labelled
        if fraction < 1:
            self._check_labels(fraction)
        self.policy, self.batch_size, self.seed = policy, batch_size, seed
        self.max_padding, self.workers = max_padding, workers
        self._stopped = (0, 0)

    def _check_labels(self, fraction: float) -> None:
        given, seen = self.train.examples().labels, self._seen.examples().labels
        if len(np.unique(seen)) < 2:
            raise ValueError(
                f"labels.fraction={fraction:g} leaves {len(seen):,} of {len(given):,} training"
                " labels, and two that differ are needed; give a larger one"
            )

    def steps(self, world: int = 1, accumulate: int = 1) -> int:
        """Optimiser steps of an epoch of so many processes, with as many batches a step."""
        return -(-len(self.first_epoch(world)) // accumulate)

    def first_epoch(self, world: int = 1) -> EpochBatches:
        """Training batches of the first epoch, in the first of so many processes."""
        return self._batches(self._seen, 0, world=world)

    def _batches(
        self, sequences: Sequences, epoch: int, rank: int = 0, world: int = 1
    ) -> EpochBatches:
        return EpochBatches(
            sequences,
            self.policy,
            self.batch_size,
            seed=self.seed,
            epoch=epoch,
            max_padding=self.max_padding,
            labelled=self.labelled,
            rank=rank,
            world=world,
        )

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size}

    def train_dataloader(self) -> Any:
        # As Lightning numbers epochs for samplers; a run that goes on behind an epoch is not yet
        # counted on in `current_epoch`.
        progress: Any = self.trainer.fit_loop.epoch_progress.current if self.trainer else None
        epoch = progress.processed if progress else 0
        begun, first = self._stopped
        batches = Epochs(partial(self._batches, self._seen, **self._processes()))
        places = Places(epoch, len(batches.of(epoch).batches), first if begun == epoch else 0)
        return loader(batches, self.workers, places, pinned=self._pinned())

    def state_dict(self) -> dict[str, Any]:
        """The epoch that a run is stopped in, and the batch that it goes on with; else none."""
        assert self.trainer is not None
        if not inside_epoch(self.trainer):
            return {}
        return {"epoch": self.trainer.current_epoch, "batch": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped = state_dict["epoch"], state_dict["batch"]

    def val_dataloader(self) -> Any:
        # Always the crops of epoch 0: validation losses of different epochs are comparable.
        if self.labelled or int((self.val.lengths >= 2).sum()) < 2:
            return []
        batches = self._batches(self.val, 0, **self._processes())
        return loader(batches, self.workers, pinned=self._pinned())

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Lightning's own way waits for the copy.
        return batch.sent(device)

    def _pinned(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
