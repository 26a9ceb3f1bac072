"""MGDA: the shortest vector in the convex hull of the gradients lowers every loss.

Source: Sener, Koltun, "Multi-Task Learning as Multi-Objective Optimization" (2018), MGDA-UB: the
gradients are those of the embedding (equation 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from grap_seq.weighting.gramian import GramianWeighting

Normalization = Literal["none", "norm"]


class MGDA(GramianWeighting):
    """Coefficients a on the simplex that minimise a.C a.

    Args:
        names: the K losses.
        normalization: "none" for the gradients as they are (the paper's tables); "norm" for unit
            gradients, so that a short gradient does not win by being short; the composite then has
            the mean length of the gradients as its unit.

    Raises:
        ValueError: an unknown normalization.
    """

    def __init__(self, names: Sequence[str], *, normalization: Normalization = "none") -> None:
        super().__init__(names)
        if normalization not in ("none", "norm"):
            raise ValueError(f"normalization={normalization!r}: choose none or norm")
        self.normalization = normalization

    def solve(self, gram: Tensor) -> Tensor:
        if self.normalization == "none":
            return shortest(gram)
        norms = gram.diagonal().sqrt()
        return shortest(gram / norms / norms[:, None]) * norms.mean() / norms


def shortest(gram: Tensor) -> Tensor:
    """argmin of a.C a over the simplex, shape (K,), for C of shape (K, K) in float64.

    Up to its length, a solves the least-squares problem min |G.T x|^2 + (sum(x) - 1)^2, x >= 0,
    whose active-set solver is exact. In units of each gradient's length its matrix is well
    conditioned whatever the scales of the losses.
    """
    # Imported here: it takes half as long as torch, and other weightings have no use for it.
    from scipy.optimize import nnls

    norms = gram.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(gram / norms / norms[:, None])
    root = (vectors * values.clamp(min=0).sqrt()).T  # root.T @ root = correlations
    ones = norms.min() / norms
    matrix, target = torch.cat([root, ones[None]]), torch.zeros(len(gram) + 1).double()
    target[-1] = 1
    lengths, _ = nnls(matrix.numpy(), target.numpy())
    solution = torch.from_numpy(lengths) * ones
    return solution / solution.sum()
