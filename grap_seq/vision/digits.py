"""scikit-learn's handwritten digits: 1,797 grey images, which come with the package."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from grap_seq.vision.images import Images
from grap_seq.vision.views import resampled

# Of all images, for validation.
HELD_OUT = 0.2


def read(size: int = 16, seed: int = 0) -> tuple[Images, Images]:
    """1,437 training and 360 validation images, each class in proportion.

    Args:
        size: S: 8 x 8 pixels become so many, both ways.
        seed: of the split.
    """
    found = load_digits()
    # Ink is 0 to 16.
    small = torch.from_numpy(np.round(found.images * 255 / 16).astype(np.uint8))
    pixels = torch.stack([resampled(image[None], (size, size)) for image in small])
    labels = found.target.astype(np.int64)
    rows = np.arange(len(labels))
    parts = train_test_split(rows, test_size=HELD_OUT, random_state=seed, stratify=labels)
    classes = tuple(map(str, found.target_names))
    train, val = (Images(pixels[np.sort(part)], labels[np.sort(part)], classes) for part in parts)
    return train, val
