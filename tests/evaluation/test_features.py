"""Blocks of columns, in memory or on disk, are read as one array would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grap_seq.evaluation import features as module
from grap_seq.evaluation.features import Features, Stored


def test_rows_of_blocks(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).normal(size=(9000, 5)).astype(np.float32)
    stored = Stored.new(tmp_path / "some", 9000, 3)
    stored[5000:] = whole[5000:, 2:]
    stored[np.arange(5000)[::-1]] = whole[4999::-1, 2:]
    features = Features((whole[:, :2],)).beside(Features((stored,)))
    np.testing.assert_array_equal(stored.part(1, 3)[[4, 2]], whole[[4, 2], 3:])
    assert stored.part(1, 3).shape == (9000, 2)
    assert features.shape == whole.shape
    assert len(features) == 9000
    rows = np.random.default_rng(1).permutation(9000)
    for index in (rows[:5], slice(3, 9), 7):
        np.testing.assert_array_equal(features[index], whole[index])
    parts = list(features.batches(rows))
    assert max(len(part) for part in parts) == module.BATCH
    np.testing.assert_array_equal(np.concatenate(parts), whole[rows])
