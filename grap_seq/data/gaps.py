"""Time gaps of a training split: which are usual, which are extreme, how finely time is measured.

They come from a bounded sample of sequences, the same one every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grap_seq.data.sequences import Sequences
from grap_seq.schema import TIME

# Up to a million events, which take about a second.
SEQUENCES, EVENTS = 2000, 500


@dataclass(frozen=True)
class Gaps:
    """Times between neighbouring events of a sequence, in the schema's unit.

    Attributes:
        values: the gaps, ascending, zeros included, shape (G,), float64.
    """

    values: NDArray[np.float64]

    @property
    def positive(self) -> NDArray[np.float64]:
        """The gaps above zero, ascending."""
        return self.values[np.searchsorted(self.values, 0, side="right") :]

    def quantile(self, share: float) -> float:
        """A quantile of the gaps above zero; 1 where there are none."""
        return float(np.quantile(self.positive, share)) if len(self.positive) else 1.0

    @property
    def typical(self) -> float:
        """Median of the gaps above zero."""
        return self.quantile(0.5)

    @property
    def resolution(self) -> float:
        """Smallest gap above zero: 1 for whole days in days."""
        return self.quantile(0)

    def edges(self, bins: int = 16) -> list[float]:
        """Upper edges of at most `bins` bins that hold about as many gaps each; the last has none.

        Where many gaps are equal, they are in one bin, and there are fewer.
        """
        if not len(self.values):
            return [0.0]
        shares = np.arange(1, bins) / bins
        edges: list[float] = np.unique(np.quantile(self.values, shares, method="lower")).tolist()
        return edges

    def beyond(self, limit: float) -> float:
        """Share of all gaps above a limit."""
        return float((self.values > limit).mean()) if len(self.values) else 0.0

    def deviation(self, limit: float) -> float:
        """Mean absolute deviation from the median of all gaps, none counted above a limit.

        It is the absolute error of the best constant prediction. Where all gaps are equal, the
        typical gap.
        """
        clipped = self.values.clip(max=limit)
        found = float(np.abs(clipped - np.median(clipped)).mean()) if len(clipped) else 0.0
        return found or self.typical


def gaps_of(sequences: Sequences, rows: int = SEQUENCES, events: int = EVENTS) -> Gaps:
    """Gaps of sequences that are spread evenly over a split.

    Args:
        sequences: the training split.
        rows: sequences that are looked at, at most.
        events: last events of each of them, at most.
    """
    count = min(rows, len(sequences))
    chosen = np.linspace(0, max(0, len(sequences) - 1), count).round().astype(int)
    lengths = sequences.lengths[chosen]
    parts = [
        (int(r), max(0, int(n) - events), int(n)) for r, n in zip(chosen, lengths, strict=True)
    ]
    times = sequences.gather(parts)[TIME]
    inside = np.ones(len(times), bool)
    inside[np.cumsum([0, *(stop - start for _, start, stop in parts)])[:-1]] = False
    gaps = np.diff(times, prepend=times[:1])[inside]
    return Gaps(np.sort(gaps))
