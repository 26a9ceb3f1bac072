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
        size = len(gram)
        total = torch.zeros(size, dtype=gram.dtype)
        for index in range(size):
            own = torch.zeros_like(total)
            own[index] = 1
            for other in torch.randperm(size, generator=generator).tolist():
                product = float(own @ gram[other])
                if other != index and product < 0:
                    own[other] -= product / float(gram[other, other])
            total += own
        return total
