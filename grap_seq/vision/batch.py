"""A batch of images: every view of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from grap_seq.block import Movable


@dataclass(frozen=True)
class ImageBatch(Movable):
    """B images in V views.

    Attributes:
        views: cut out, with their own colours, float32 in [0, 1], shape (V, B, C, S, S).
        labels: class of each image, -1 without one, shape (B,), int64.
        owners: row of each image in its split, shape (B,), int64.
    """

    views: Tensor
    labels: Tensor
    owners: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def events(self) -> int:
        """B: what a speed in events a second counts."""
        return len(self)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> ImageBatch:
        return ImageBatch(change(self.views), change(self.labels), change(self.owners))
