"""Features of many sequences, mapped from disk: only the rows that are asked for are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
Array = npt.NDArray[np.float32]

BATCH = 4096


@dataclass(frozen=True)
class Features:
    """Columns of N rows, in blocks that stand side by side.

    Attributes:
        blocks: arrays (N, columns of the block), in memory or mapped from disk.
    """

    blocks: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.blocks[0]), sum(block.shape[1] for block in self.blocks)

    def __len__(self) -> int:
        return len(self.blocks[0])

    def __getitem__(self, rows: Any) -> Array:
        """Some rows in memory, (rows, columns); or one, (columns,)."""
        return np.concatenate([block[rows] for block in self.blocks], axis=-1)

    def beside(self, other: Features) -> Features:
        """The columns of both."""
        return Features(self.blocks + other.blocks)

    def batches(self, rows: Rows) -> Iterator[Array]:
        """The rows in their order, at most 4,096 at a time."""
        for start in range(0, len(rows), BATCH):
            yield self[rows[start : start + BATCH]]


def on_disk(file: Path, shape: tuple[int, int]) -> Array:
    """An array mapped from a new file, to be filled."""
    return np.memmap(file, np.float32, "w+", shape=shape)
