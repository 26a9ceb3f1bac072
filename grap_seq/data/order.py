"""Which sequences form which batch: a pure function of (seed, epoch).

Batches are random samples: a mean over a batch's events, batch norm's statistics, the negatives of
a contrastive loss and the labels behind a downstream gradient are then those of the data. (Sorting
by length would save padding, and bend all four: lengths and labels belong together.)

Random numbers come from a counter-based generator, so any crop of any row can be drawn by itself:
the position of a loader is two integers, epoch and step, and workers cannot change what is drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, epoch: int, row: int = 0, purpose: int = 0) -> np.random.Generator:
    """An independent random stream for each (seed, epoch, row, purpose)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, row, purpose]))


def batches(rows: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Rows of every batch of an epoch; each row appears exactly once.

    Rows are shuffled and cut into batches of nearly equal size: from batches of three on, none is
    left with a single row.

    Args:
        rows: number of rows.
        batch_size: rows in a batch, at most.
        seed: seed of the run.
        epoch: number of the epoch, from 0.
    """
    if not rows:
        return []
    shuffled = generator(seed, epoch, purpose=1).permutation(rows)
    return np.array_split(shuffled, -(-rows // batch_size))
