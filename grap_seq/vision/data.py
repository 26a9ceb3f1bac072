"""Lightning's view of images: training batches of one size, and all images for validation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from grap_seq.data.loader import loader
from grap_seq.data.order import generator
from grap_seq.seeds import derived_seed
from grap_seq.training.epoch_data import EpochData
from grap_seq.vision.images import Images
from grap_seq.vision.loader import ImageBatches
from grap_seq.vision.views import Centre, Crops

# Sets what is drawn for crops apart from what is drawn in the training step.
CROPS = 1


class ImageData(EpochData[ImageBatches]):
    """Training batches of the trainer's epoch, and all validation images in their order.

    All training batches have one size, as the negatives of a contrastive loss and a queue want it:
    the images that are left over, others in every epoch, sit it out.

    Args:
        train: training images.
        val: validation images.
        views: how they are cut, see `grap_seq.vision.views.Crops`.
        size: S, pixels of a view, both ways.
        resize: of the shorter side in validation, see `grap_seq.vision.views.Centre`.
        batch_size: images in a batch of one process.
        seed: seed of the run.
        workers: processes that build batches.

    Raises:
        ValueError: too few images for a batch.
    """

    def __init__(
        self,
        train: Images,
        val: Images,
        views: Mapping[str, Any],
        *,
        size: int,
        batch_size: int,
        resize: int | None = None,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed=seed, workers=workers)
        self.train, self.val = train, val
        self._crops, self._centre = Crops(size, views), Centre(size, resize)
        self.batches(0)

    def batches(self, epoch: int, rank: int = 0, world: int = 1) -> ImageBatches:
        """Training batches of an epoch, in one of so many processes.

        Raises:
            ValueError: too few images for a batch of all processes.
        """
        rows, together = len(self.train), self.batch_size * world
        if rows < together or self.batch_size < 2:
            raise ValueError(
                f"batch_size={self.batch_size}: a batch of {world} process(es) takes 2 images or"
                f" more in each, and there are {rows:,}; give 2 to {rows // world}, or more images"
            )
        shuffled = generator(self.seed, epoch, purpose=1).permutation(rows)
        whole = [*shuffled[: rows // together * together].reshape(-1, together)]
        cut = partial(self._cut, epoch, rank)
        return ImageBatches(self.train, whole, cut, epoch=epoch, rank=rank, world=world)

    def _cut(self, epoch: int, rank: int, images: list[Tensor], step: int) -> Tensor:
        return self._crops(images, derived_seed(self.seed, epoch, step, rank, CROPS))

    def val_dataloader(self) -> Any:
        processes = self.processes()
        rows, world = len(self.val), processes.get("world", 1)
        if rows < world:
            raise ValueError(
                f"{rows} validation images cannot be shared by {world} processes; train with one"
                " process (trainer=cpu or gpu)"
            )
        # Of nearly equal size, so that each process has a part of every one.
        batches = np.array_split(np.arange(rows), -(-rows // (self.batch_size * world)))
        found = ImageBatches(self.val, batches, self._middle, **processes)
        return loader(found, self.workers, pinned=self.pinned())

    def _middle(self, images: list[Tensor], step: int) -> Tensor:
        del step
        return self._centre(images)
