"""Blocks of columns, in memory or on disk, are read as one array would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grap_seq.evaluation import features as module
from grap_seq.evaluation.features import Features, on_disk


def test_rows_of_blocks(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).normal(size=(9000, 5)).astype(np.float32)
    mapped = on_disk(tmp_path / "some", (9000, 3))
    mapped[:] = whole[:, 2:]
    features = Features((whole[:, :2],)).beside(Features((mapped,)))
    assert features.shape == whole.shape
    assert len(features) == 9000
    rows = np.random.default_rng(1).permutation(9000)
    for index in (rows[:5], slice(3, 9), 7):
        np.testing.assert_array_equal(features[index], whole[index])
    parts = list(features.batches(rows))
    assert max(len(part) for part in parts) == module.BATCH
    np.testing.assert_array_equal(np.concatenate(parts), whole[rows])
