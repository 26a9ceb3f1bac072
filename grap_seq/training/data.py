"""Lightning's view of the data: loaders that depend on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
from torch.utils.data import DataLoader, Sampler

from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches, loader
from grap_seq.data.sequences import Sequences
from grap_seq.training.stop import inside_epoch


class Remaining(Sampler[int]):
    """Numbers of an epoch's batches from `first` on; its length is that of the whole epoch."""

    def __init__(self, first: int, batches: int) -> None:
        self.first, self.batches = first, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.batches))


def remaining(batches: DataLoader[Any], first: int) -> DataLoader[Any]:
    """The same loader from batch `first` on; Lightning counts on from there up to its length."""
    return DataLoader(
        batches.dataset,
        batch_size=None,
        sampler=Remaining(first, len(batches)),
        num_workers=batches.num_workers,
        collate_fn=batches.collate_fn,
        pin_memory=batches.pin_memory,
        worker_init_fn=batches.worker_init_fn,
        multiprocessing_context=batches.multiprocessing_context,
        prefetch_factor=batches.prefetch_factor,
        persistent_workers=batches.persistent_workers,
    )


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
        max_padding: float = 0.1,
        workers: int = 0,
        labelled: bool = False,
        fraction: float = 1.0,
    ) -> None:
        super().__init__()
        self.train, self.val = Sequences(prepared, "train"), Sequences(prepared, "val")
        self._seen, self.labelled = self.train.with_labels(fraction), labelled
        self.policy, self.batch_size, self.seed = policy, batch_size, seed
        self.max_padding, self.workers = max_padding, workers
        self._stopped = (0, 0)

    def _batches(self, sequences: Sequences, epoch: int) -> EpochBatches:
        return EpochBatches(
            sequences,
            self.policy,
            self.batch_size,
            seed=self.seed,
            epoch=epoch,
            max_padding=self.max_padding,
            labelled=self.labelled,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self.trainer.world_size if self.trainer else 1,
        )

    def train_dataloader(self) -> Any:
        epoch = self.trainer.current_epoch if self.trainer else 0
        batches = loader(self._batches(self._seen, epoch), self.workers)
        begun, first = self._stopped
        return remaining(batches, first) if begun == epoch and first else batches

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
        return loader(self._batches(self.val, 0), self.workers)
