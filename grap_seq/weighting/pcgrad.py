"""PCGrad: gradients that conflict are projected onto each other's normal planes.

Source: Yu et al., "Gradient Surgery for Multi-Task Learning" (2020), Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from grap_seq.seeds import derived_seed
from grap_seq.weighting.gramian import GramianWeighting


class PCGrad(GramianWeighting):
    """Sum of the projected gradients, from C alone: all of them lie in the span of the g_k.

    Args:
        names: the K losses.
        seed: of the random order of the projections; order is a function of the seed and the number
            of the step, the same in every process.
    """

    def __init__(self, names: Sequence[str], *, seed: int = 0) -> None:
        super().__init__(names)
        self.seed = seed

    def solve(self, gram: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, self.steps))
        rows = torch.arange(len(gram))
        # orders: (P, P), the projections of each gradient; all gradients take a step at once.
        orders = torch.stack([torch.randperm(len(gram), generator=generator) for _ in rows])
        # Coefficients of each projected gradient, and its products with the original ones.
        projected = torch.eye(len(gram), dtype=gram.dtype)
        products = gram.clone()
        for others in orders.T:
            lengths = (products[rows, others] / gram[others, others]).clamp(max=0)
            lengths = lengths.masked_fill(others == rows, 0)
            projected[rows, others] -= lengths
            products -= lengths[:, None] * gram[others]
        return projected.sum(0)
