"""Which rows of a split are labelled, in an order that no layout of parts can change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from grap_seq.data.labels import Examples
from grap_seq.data.sequences import Sequences


@dataclass(frozen=True)
class SplitRows:
    """The labelled examples of a split, sorted by their keys.

    Attributes:
        split: "train", "val" or "test".
        sequences: The split.
        examples: What each label is predicted from.
        keys: Ids; where sequences have several labels, pairs of an id and the label's number.
        embeddings: Rows that a file of embeddings must have: one a sequence, or one a label.
    """

    split: str
    sequences: Sequences
    examples: Examples
    keys: pd.Index[Any]
    embeddings: int

    @classmethod
    def of(cls, prepared: Path, split: str, label: str) -> SplitRows:
        sequences = Sequences(prepared, split, label)
        examples = sequences.examples()
        local = sequences.local is not None
        ids: pd.Index[Any] = pd.Index([])
        if len(sequences):
            ids = pd.Index(sequences.ids(0, len(sequences)).take(pa.array(examples.rows)))
        numbers = np.arange(len(examples)) - np.searchsorted(examples.rows, examples.rows)
        keys = keys_of(ids, numbers if local else None)
        order = keys.argsort()
        rows = len(examples) if local else len(sequences)
        return cls(split, sequences, examples.take(order), keys[order], rows)

    @property
    def ids(self) -> npt.NDArray[Any]:
        """(labelled rows,)"""
        return self.keys.get_level_values(0).to_numpy()

    @property
    def numbers(self) -> npt.NDArray[np.int64] | None:
        """(labelled rows,), where sequences have several labels."""
        if self.sequences.local is None:
            return None
        return self.keys.get_level_values(1).to_numpy(np.int64)


def keys_of(ids: pd.Index[Any], numbers: npt.NDArray[Any] | None) -> pd.Index[Any]:
    """Keys of rows."""
    return ids if numbers is None else pd.MultiIndex.from_arrays([ids, numbers])
