"""Images as their readers give them: one split of a data set, in memory or as files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

# What pillow raises for a file that is damaged, no image, or larger than any picture.
DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Files:
    """Images that are decoded when they are asked for, each of its own size.

    Attributes:
        folder: where they are.
        names: paths in it.
        channels: 3: red, green and blue; 1: grey.
    """

    folder: Path
    names: Sequence[str]
    channels: int = 3

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Tensor:
        """One image, uint8, shape (C, H, W).

        Raises:
            ValueError: the file is damaged, or has more than eight bits a channel; names it.
        """
        path = self.folder / self.names[row]
        try:
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError("it has more than 8 bits a channel; convert it to 8")
                return pixels_of(image, self.channels)
        except DAMAGED as error:
            raise ValueError(
                f"{path} is no image that can be read ({error}): replace it, take it away, or leave"
                " such files out by data.reader.strict=false"
            ) from error


@dataclass(frozen=True, eq=False)
class Images:
    """One split: images and their classes.

    Attributes:
        pixels: images by row, uint8: a tensor of shape (N, C, H, W), or files.
        labels: class of each, an index into `classes`, shape (N,), int64.
        classes: their names.
    """

    pixels: Tensor | Files
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.pixels) == len(self.labels), (len(self.pixels), len(self.labels))
        assert self.labels.dtype == np.int64, self.labels.dtype

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: NDArray[np.int64]) -> Images:
        """Some of them."""
        pixels = self.pixels
        if isinstance(pixels, Files):
            names = [pixels.names[row] for row in rows]
            return Images(replace(pixels, names=names), self.labels[rows], self.classes)
        return Images(pixels[rows], self.labels[rows], self.classes)

    def __getitem__(self, row: int) -> Tensor:
        """One image, uint8, shape (C, H, W); raises as `Files` does."""
        return self.pixels[row]

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Images of one size together, uint8, shape (B, C, H, W).

        Raises:
            ValueError: they have several sizes, or one is damaged.
        """
        found = [self[int(row)] for row in rows]
        if sizes := {tuple(image.shape) for image in found[1:]} - {tuple(found[0].shape)}:
            raise ValueError(
                f"images of several sizes make no batch: {tuple(found[0].shape)} and"
                f" {sizes.pop()}; cut them to one first (grap_seq.vision.views)"
            )
        return torch.stack(found)

    def name(self, row: int) -> int | str:
        """What a message calls an image: its file in the folder, or its row."""
        return self.pixels.names[row] if isinstance(self.pixels, Files) else row

    @cached_property
    def data(self) -> str:
        """SHA-256 that tells these data from others.

        Of pixels, labels and classes; of files, which may be many gigabytes, their names and sizes
        in the place of pixels.
        """
        found = hashlib.sha256()
        if isinstance(self.pixels, Files):
            for name in self.pixels.names:
                found.update(f"{name}\0{(self.pixels.folder / name).stat().st_size}\0".encode())
        else:
            found.update(repr(tuple(self.pixels.shape)).encode())
            found.update(self.pixels.numpy().tobytes())
        found.update(self.labels.tobytes())
        found.update("\0".join(self.classes).encode())
        return found.hexdigest()


def pixels_of(image: Image.Image, channels: int) -> Tensor:
    """An open image as uint8, shape (C, H, W)."""
    values = np.array(image.convert("RGB" if channels == 3 else "L"))
    return torch.from_numpy(values.reshape(*values.shape[:2], channels).transpose(2, 0, 1).copy())
