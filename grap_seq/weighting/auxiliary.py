"""Auxiliary training: the downstream loss is one more loss of the plain sum (paper, Table 6)."""

from __future__ import annotations

from grap_seq.weighting.equal import Equal


class Auxiliary(Equal):
    """The backbone receives sum_k g_k + d: training is supervised where there are labels."""

    needs_labels = True
    downstream = 1.0
