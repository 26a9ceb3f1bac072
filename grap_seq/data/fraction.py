"""Part of the labels, chosen by the ids alone: the same sequences in every epoch, seed and run."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PARTS = 10_000


def chosen(ids: pa.Array, fraction: float) -> NDArray[np.bool_]:
    """Whether each id belongs to the part, shape (ids,); a larger part holds every smaller one.

    An id belongs to it where sha256(id) mod 10,001 / 10,000 < fraction, as in the published
    experiments with few labels (Table 4 of the GraP paper); a fraction of 1 is all of them.

    Raises:
        ValueError: a fraction outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"labels.fraction={fraction}: give a share of the labels in (0, 1]")
    if fraction == 1:
        return np.ones(len(ids), bool)
    digests = (hashlib.sha256(str(one).encode()).digest() for one in ids.to_pylist())
    return np.array([int.from_bytes(d, "big") % (PARTS + 1) / PARTS < fraction for d in digests])
