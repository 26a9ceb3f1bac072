"""Small images with known pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from grap_seq.vision.images import Images


def random_images(rows: int = 11, size: int = 8, channels: int = 3, seed: int = 0) -> Images:
    """Images of noise in three classes, one size for all."""
    drawn = np.random.default_rng(seed)
    pixels = drawn.integers(0, 256, (rows, channels, size, size), np.uint8)
    labels = drawn.integers(0, 3, rows)
    return Images(torch.from_numpy(pixels), labels, ("a", "b", "c"))


def write_folders(folder: Path, per_class: int = 3, val: str = "val") -> Path:
    """Training and validation images of two classes as PNG, of several sizes; no two are equal."""
    drawn = np.random.default_rng(0)
    for split, rows in (("train", per_class), (val, 1)):
        for name in ("cat", "dog"):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(rows):
                height, width = drawn.integers(9, 14, 2)
                pixels = drawn.integers(0, 256, (height, width, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return folder
