"""Features of many sequences: in memory, or in files of which only the rows in hand are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
Array = npt.NDArray[np.float32]

BATCH = 4096


@dataclass(frozen=True)
class Stored:
    """Columns first..stop of an array (rows, width) in a file.

    The file is mapped for every access alone: pages of a mapping that stays count as the process's
    memory, although the system could take them back.
    """

    file: Path
    rows: int
    width: int
    first: int
    stop: int

    @classmethod
    def new(cls, file: Path, rows: int, width: int) -> Stored:
        """A new file, to be filled."""
        np.memmap(file, np.float32, "w+", shape=(rows, width))
        return cls(file, rows, width, 0, width)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.stop - self.first

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: Any) -> Array:
        """Some rows in memory, (rows, columns); or one, (columns,)."""
        return np.array(self._mapped("r")[rows, self.first : self.stop])

    def __setitem__(self, rows: Any, values: Any) -> None:
        self._mapped("r+")[rows, self.first : self.stop] = values

    def part(self, start: int, stop: int) -> Stored:
        """Columns start..stop of these."""
        return replace(self, first=self.first + start, stop=self.first + stop)

    def _mapped(self, mode: Any) -> npt.NDArray[np.float32]:
        return np.memmap(self.file, np.float32, mode, shape=(self.rows, self.width))


@dataclass(frozen=True)
class Features:
    """Columns of N rows, in blocks (N, columns of the block) that stand side by side."""

    blocks: tuple[Array | Stored, ...]

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
