"""A split in memory and one of files give the same, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grap_seq.vision.folders import read
from tests.vision.pictures import random_images, write_folders


def test_a_part_keeps_images_labels_and_names_together(tmp_path: Path) -> None:
    rows = np.array([4, 0, 5])
    for whole in (random_images(7), read(write_folders(tmp_path))[0]):
        part = whole.part(rows)
        assert len(part) == 3
        for new, old in enumerate(rows.tolist()):
            assert part[new].equal(whole[old])
            assert part.labels[new] == whole.labels[old]
        assert part.classes == whole.classes
        assert part.data != whole.data
    assert [part.name(row) for row in range(3)] == ["dog/1.png", "cat/0.png", "dog/2.png"]


def test_a_batch_is_its_images_in_order() -> None:
    images = random_images(7)
    found = images.batch([3, 3, 1])
    assert [image.equal(images[row]) for image, row in zip(found, (3, 3, 1), strict=True)] == [
        True
    ] * 3
    assert images.name(3) == 3
    with pytest.raises(IndexError):
        images[7]
