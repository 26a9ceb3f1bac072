"""The time between neighbouring events of a split: what is typical, and what is long."""

from __future__ import annotations

from collections.abc import Sequence as List

import numpy as np

from grap_seq.data.labels import Array
from grap_seq.data.sequences import Sequences
from grap_seq.schema import TIME

# Enough for quantiles; a sample that depends on the data alone.
EVENTS = 1_000_000


def gaps(sequences: Sequences, events: int = EVENTS) -> Array:
    """Gaps of all sequences, or of evenly spread ones with about `events` events together, (G,)."""
    every = max(1, -(-int(sequences.lengths.sum()) // events))
    lengths = sequences.lengths[::every]
    rows = np.arange(len(sequences))[::every]
    slices = [(row, 0, length) for row, length in zip(rows, lengths, strict=True)]
    between = np.diff(sequences.gather(slices, (TIME,))[TIME])
    # From the last event of one sequence to the first of the next is no gap.
    return np.delete(between, np.cumsum(lengths)[:-1] - 1)


def gap_quantiles(sequences: Sequences, shares: List[float], *, ties: bool = True) -> list[float]:
    """Quantiles of the gaps, in the schema's time unit; 1 where there is no gap.

    Args:
        sequences: a split.
        shares: which quantiles, in [0, 1].
        ties: count events at one moment as gaps of zero; otherwise leave them out.
    """
    found = gaps(sequences)
    if not ties:
        found = found[found > 0]
    quantiles: list[float] = np.quantile(found if len(found) else [1.0], shares).tolist()
    return quantiles


def typical_gap(sequences: Sequences) -> float:
    """Median gap between different moments: always above zero."""
    (median,) = gap_quantiles(sequences, [0.5], ties=False)
    return median
