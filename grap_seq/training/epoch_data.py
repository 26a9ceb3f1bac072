"""Lightning's view of batches by epoch and number: a run goes on in the middle of an epoch."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, Generic, TypeVar

import lightning
import torch

from grap_seq.block import Movable
from grap_seq.data.loader import Epochs, Numbered, Places, loader
from grap_seq.training.stop import inside_epoch

Batches = TypeVar("Batches", bound=Numbered[Any])


class EpochData(lightning.LightningDataModule, Generic[Batches]):
    """Training batches of the trainer's epoch.

    Args:
        batch_size: of one process.
        seed: seed of the run.
        workers: processes that build batches.
    """

    def __init__(self, batch_size: int, *, seed: int = 0, workers: int = 0) -> None:
        super().__init__()
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self._stopped = (0, 0)

    @abstractmethod
    def batches(self, epoch: int, rank: int = 0, world: int = 1) -> Batches:
        """Training batches of an epoch, in one of so many processes."""

    def steps(self, world: int = 1, accumulate: int = 1) -> int:
        """Optimiser steps of an epoch of so many processes, with as many batches a step."""
        return -(-len(self.first_epoch(world)) // accumulate)

    def first_epoch(self, world: int = 1) -> Batches:
        """Training batches of the first epoch, in the first of so many processes."""
        return self.batches(0, world=world)

    def processes(self) -> dict[str, int]:
        """Which process of how many this is."""
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size}

    def train_dataloader(self) -> Any:
        # As Lightning numbers epochs for samplers; a run that goes on behind an epoch is not yet
        # counted on in `current_epoch`.
        progress: Any = self.trainer.fit_loop.epoch_progress.current if self.trainer else None
        epoch = progress.processed if progress else 0
        begun, first = self._stopped
        batches = Epochs(partial(self.batches, **self.processes()))
        places = Places(epoch, len(batches.of(epoch)), first if begun == epoch else 0)
        return loader(batches, self.workers, places, pinned=self.pinned())

    def state_dict(self) -> dict[str, Any]:
        """The epoch that a run is stopped in, and the batch that it goes on with; else none."""
        assert self.trainer is not None
        if not inside_epoch(self.trainer):
            return {}
        return {"epoch": self.trainer.current_epoch, "batch": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped = state_dict["epoch"], state_dict["batch"]

    def transfer_batch_to_device(
        self, batch: Movable, device: torch.device, dataloader_idx: int
    ) -> Movable:
        # Lightning's own way waits for the copy.
        return batch.sent(device)

    def pinned(self) -> bool:
        """Whether batches are copied to a GPU."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
