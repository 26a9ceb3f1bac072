"""Which data set is read, and what is missing for it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from grap_seq.vision.readers import read


def test_digits_are_split_within_each_class() -> None:
    train, val = read("digits", size=8)
    assert (len(train), len(val)) == (1437, 360)
    whole = load_digits()
    for split in (train, val):
        shares = np.bincount(split.labels) / len(split)
        np.testing.assert_allclose(shares, np.bincount(whole.target) / 1797, atol=0.002)
    # 17 shades, of which the darkest is 16.
    images = [split[row] for split in (train, val) for row in range(len(split))]
    found = sorted(image.numpy().tobytes() for image in images)
    wanted = sorted(np.round(image * 15.9375).astype(np.uint8).tobytes() for image in whole.images)
    assert found == wanted
    assert tuple(read("digits")[0][0].shape) == (1, 16, 16)
    assert read("digits")[0].data == read("digits")[0].data != read("digits", seed=1)[0].data


def test_what_cannot_be_read() -> None:
    with pytest.raises(ValueError, match=r"name=cifar: did you mean 'cifar10"):
        read("cifar", "x")
    with pytest.raises(ValueError, match=r"cifar10 needs source="):
        read("cifar10")
    with pytest.raises(ValueError, match=r"digits comes with scikit-learn; take source=x away"):
        read("digits", "x")
