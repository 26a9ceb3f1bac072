"""Which sequences form which batch: a pure function of (seed, epoch).

Random numbers come from a counter-based generator, so any crop of any row can be drawn by itself:
the position of a loader is two integers, epoch and step, and workers cannot change what is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Batches whose rows are sorted by length together: enough for equal lengths inside a batch, few
# enough to leave its composition random.
POOL_BATCHES = 50


def generator(seed: int, epoch: int, row: int = 0, purpose: int = 0) -> np.random.Generator:
    """An independent random stream for each (seed, epoch, row, purpose)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, row, purpose]))


def batches(
    lengths: NDArray[Any], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Rows of every batch of an epoch; each row appears exactly once.

    Rows are shuffled, sorted by length inside pools of 50 batches, cut into batches of nearly
    equal size (from batches of three on none is left with a single row), and the batches shuffled.

    Args:
        lengths: length of each row, shape (rows,).
        batch_size: rows in a batch, at most.
        seed: seed of the run.
        epoch: number of the epoch, from 0.
    """
    rng = generator(seed, epoch, purpose=1)
    rows = rng.permutation(len(lengths))
    result: list[NDArray[np.int64]] = []
    pool = batch_size * POOL_BATCHES
    for part in np.array_split(rows, max(1, round(len(rows) / pool))):
        if len(part):
            ordered = part[np.argsort(lengths[part], kind="stable")]
            result += np.array_split(ordered, -(-len(ordered) // batch_size))
    return [result[index] for index in rng.permutation(len(result))]
