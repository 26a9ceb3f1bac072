"""Lightning's view of sequences: loaders that depend on (seed, epoch) alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches, loader
from grap_seq.data.sequences import Sequences
from grap_seq.layout import MAX_PADDING
from grap_seq.training.epoch_data import EpochData


class PretrainData(EpochData[EpochBatches]):
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
        super().__init__(batch_size, seed=seed, workers=workers)
        self.train, self.val = (Sequences(prepared, split, label) for split in ("train", "val"))
        self._seen, self.labelled = self.train.with_labels(fraction), labelled
        if fraction < 1:
            self._check_labels(fraction)
        self.policy, self.max_padding = policy, max_padding

    def _check_labels(self, fraction: float) -> None:
        given, seen = self.train.examples().labels, self._seen.examples().labels
        if len(np.unique(seen)) < 2:
            raise ValueError(
                f"labels.fraction={fraction:g} leaves {len(seen):,} of {len(given):,} training"
                " labels, and two that differ are needed; give a larger one"
            )

    def batches(self, epoch: int, rank: int = 0, world: int = 1) -> EpochBatches:
        return self._batches(self._seen, epoch, rank, world)

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

    def val_dataloader(self) -> Any:
        # Always the crops of epoch 0: validation losses of different epochs are comparable.
        if self.labelled or int((self.val.lengths >= 2).sum()) < 2:
            return []
        batches = self._batches(self.val, 0, **self.processes())
        return loader(batches, self.workers, pinned=self.pinned())
