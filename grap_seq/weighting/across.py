"""Inner products of gradients of different batches: what losses have in common beside their noise.

Gradients with respect to an embedding have coordinates in one batch only, and the product of two
losses' gradients in a batch is that of their means plus the covariance of their noise, which both
have from the same events. With few labels in a batch that covariance is the larger part, and may
have the other sign (benchmarks/alignment.py). Gradients of parameters have the same coordinates in
every batch. Those of a linear layer between backbone and heads, at the identity, cost next to
nothing: A_k = sum_t g_k(t) z(t)^T, and sum_t g_k(t) of its bias.

With m_k a moving average sum_b a_b A_k(b), the products of one batch with itself are taken out:
(m_i . m_j - sum_b a_b^2 A_i(b) . A_j(b)) / ((sum_b a_b)^2 - sum_b a_b^2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ENOUGH = 100


class AcrossBatches(nn.Module):
    """Moving averages of the gradients of J losses, and of their products.

    Args:
        losses: J.
        decay: of the average over batches, in (0, 1).
        enough: batches from which on the means are believed.
    """

    mean: Tensor | None  # (J, P), of the width of what comes
    same: Tensor  # (J, J) sum_b a_b^2 A_i(b) . A_j(b)
    within: Tensor  # (J, J) sum_b a_b A_i(b) . A_j(b)
    shares: Tensor  # (2,) sum_b a_b, sum_b a_b^2
    count: Tensor  # () batches so far

    def __init__(self, losses: int, decay: float, enough: int = ENOUGH) -> None:
        super().__init__()
        self.decay, self.enough = decay, enough
        self.register_buffer("mean", None)
        self.register_buffer("same", torch.zeros(losses, losses))
        self.register_buffer("within", torch.zeros(losses, losses))
        self.register_buffer("shares", torch.zeros(2))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def add(self, layer: Tensor, known: Tensor) -> None:
        """One more batch.

        Args:
            layer: gradients of the losses, shape (J, P); zeros of a loss that the batch has not.
            known: whether the batch counts, shape (), bool.
        """
        layer = layer.to(self.same.dtype)
        if self.mean is None:
            self.mean = torch.zeros_like(layer)
        products, share = layer @ layer.T, (1 - self.decay) * known.to(layer.dtype)
        kept = 1 - share
        self.mean.mul_(kept).add_(layer * share)
        self.same.mul_(kept.square()).add_(products * share.square())
        self.within.mul_(kept).add_(products * share)
        ones = torch.stack([share, share.square()])
        self.shares.mul_(torch.stack([kept, kept.square()])).add_(ones)
        self.count += known

    @property
    def believed(self) -> Tensor:
        """Whether there have been enough batches, shape (), bool."""
        return self.count >= self.enough

    @property
    def between(self) -> Tensor:
        """Products of mean gradients, shape (J, J), from pairs of different batches."""
        assert self.mean is not None, "add a batch first"
        pairs = self.shares[0].square() - self.shares[1]
        return torch.where(pairs > 0, (self.mean @ self.mean.T - self.same) / pairs, 0.0)

    @property
    def inside(self) -> Tensor:
        """Mean over batches of the products within one, shape (J, J)."""
        return torch.where(self.shares[0] > 0, self.within / self.shares[0], 0.0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        stored = state_dict.get(f"{prefix}mean")
        if stored is not None and (self.mean is None or self.mean.shape != stored.shape):
            self.mean = torch.empty_like(stored, device=self.same.device)
        super()._load_from_state_dict(state_dict, prefix, *more)
