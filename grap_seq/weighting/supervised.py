"""Supervised training: the downstream loss alone reaches the backbone (paper, Tables 1 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

from grap_seq.weighting.equal import Equal


class Supervised(Equal):
    """The backbone receives d; the heads of the pretraining losses learn on what it becomes."""

    needs_labels = True
    downstream = 1.0

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.weights.zero_()
