"""Batches of images by number: a pure function of (seed, epoch, step, process)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from grap_seq.vision.batch import ImageBatch
from grap_seq.vision.images import Images


class ImageBatches(Dataset[ImageBatch]):
    """Batches of one epoch, of which this process has a part.

    Args:
        images: a split.
        batches: rows of every batch of all processes together.
        cut: views of a batch's images, from them and the batch's number.
        epoch: number of the epoch.
        rank: which part of every batch this is.
        world: number of parts.
    """

    def __init__(
        self,
        images: Images,
        batches: Sequence[NDArray[np.int64]],
        cut: Callable[[list[Tensor], int], Tensor],
        *,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.images, self.batches, self.cut = images, batches, cut
        self.epoch, self.rank, self.world = epoch, rank, world

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> ImageBatch:
        if step >= len(self):
            raise IndexError(step)
        rows = self.batches[step][self.rank :: self.world]
        return ImageBatch(
            self.cut([self.images[int(row)] for row in rows], step),
            torch.from_numpy(self.images.labels[rows]),
            torch.from_numpy(rows),
        )

    def sequence(self, step: int, owner: int) -> int | str:
        """What a message calls the image that `owner` numbers in a batch."""
        del step
        return self.images.name(owner)
