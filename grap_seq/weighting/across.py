"""What losses and label have in common from batch to batch, beside the noise of a batch.

Gradients with respect to an embedding have coordinates in one batch only, and there the product of
two of them is that of their means plus the covariance of their noise, which both have from the same
events. With few labels in a batch the covariance is the larger part, and may have the other sign
(benchmarks/alignment.py). Gradients of parameters have the same coordinates in every batch (the
paper's Theorem A.1 adds them up along a rollout). Those of a linear layer between backbone and
heads, at the identity, cost next to nothing: A_k = sum_t g_k(t) z(t)^T, and sum_t g_k(t) of its
bias.

With m_k a moving average sum_b a_b A_k(b), the products of a batch with itself are taken out:
p_k = (m_k . m_d - sum_b a_b^2 A_k(b) . A_d(b)) / ((sum_b a_b)^2 - sum_b a_b^2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ENOUGH = 100


class AcrossBatches(nn.Module):
    """Mean gradients of K losses and of the label, and their products over different batches.

    Args:
        losses: K.
        decay: of the moving averages, in (0, 1).
        enough: batches from which on they are believed.
    """

    mean: Tensor | None  # (K+1, P), of the width of what comes: sum_b a_b A(b)
    within: Tensor  # (K+1, K+1) sum_b a_b A_i(b) . A_j(b)
    same: Tensor  # (K,) sum_b a_b^2 A_k(b) . A_d(b)
    square: Tensor  # (K,) mean square of a product of two batches, as if their means were zero
    shares: Tensor  # (2,) sum_b a_b, sum_b a_b^2
    batches: Tensor  # () so far

    def __init__(self, losses: int, decay: float, enough: int = ENOUGH) -> None:
        super().__init__()
        self.decay, self.enough = decay, enough
        self.register_buffer("mean", None)
        self.register_buffer("within", torch.zeros(losses + 1, losses + 1))
        self.register_buffer("same", torch.zeros(losses))
        self.register_buffer("square", torch.zeros(losses))
        self.register_buffer("shares", torch.zeros(2))
        self.register_buffer("batches", torch.zeros(()))

    @torch.no_grad()
    def add(self, layer: Tensor, known: Tensor) -> None:
        """One more batch.

        Args:
            layer: gradients of the losses, the label's last, shape (K+1, P); zeros of a loss that
                the batch has not.
            known: whether the batch counts, shape (), bool: whether it has labels.
        """
        layer = layer.to(self.within.dtype)
        counted = known.to(layer.dtype)
        if self.mean is None:
            self.mean = torch.zeros_like(layer)
        # Products with the average are sums of products with the batches before.
        crossed = torch.stack([self.mean[:-1] @ layer[-1], layer[:-1] @ self.mean[-1]])
        tiny = torch.finfo(layer.dtype).tiny
        found = crossed.square().mean(0) / self.shares[1].clamp(min=tiny)
        part = counted * (self.batches > 0) / self.batches.clamp(1, 1 / (1 - self.decay))
        self.square.lerp_(found, part)
        products, share = layer @ layer.T, (1 - self.decay) * counted
        self.mean.lerp_(layer, share)
        self.within.lerp_(products, share)
        self.same.mul_((1 - share).square()).add_(products[:-1, -1] * share.square())
        kept = torch.stack([1 - share, (1 - share).square()])
        self.shares.mul_(kept).add_(torch.stack([share, share.square()]))
        self.batches += counted

    @property
    def believed(self) -> Tensor:
        """Whether there have been enough batches, shape (), bool."""
        return self.batches >= self.enough

    @property
    def _pairs(self) -> Tensor:
        """Sum of a_b a_c over pairs of different batches, shape ()."""
        return self.shares[0].square() - self.shares[1]

    @property
    def gram(self) -> Tensor:
        """Mean over batches of the products within one, shape (K+1, K+1)."""
        return torch.where(self.batches > 0, self.within / self.shares[0], 0.0)

    @property
    def alignment(self) -> Tensor:
        """p, shape (K,): mean product of loss k's and the label's gradient in different batches."""
        assert self.mean is not None, "add a batch first"
        products = self.mean[:-1] @ self.mean[-1] - self.same
        return torch.where(self.batches > 1, products / self._pairs, 0.0)

    @property
    def error(self) -> Tensor:
        """Standard error of p, shape (K,), as if it were zero and batches independent."""
        pairs = (self.square * self.shares[1].square()).sqrt() / self._pairs
        return torch.where(self.batches > 1, pairs, torch.inf)

    def shrunk(self, alignment: Tensor, caution: float) -> Tensor:
        """p shrunk by its error e (James and Stein's positive part), shape (K,).

        p_k counts with the share max(0, 1 - (caution e_k / p_k)^2).
        """
        if caution == 0:
            return alignment
        share = (1 - (caution * self.error / alignment).square()).clamp(min=0)
        return torch.where(alignment == 0, 0.0, alignment * share)

    @property
    def cosines(self) -> Tensor:
        """p_k over the root mean square lengths of loss k's and the label's gradient, (K,)."""
        lengths = self.gram.diagonal().sqrt()
        scale = lengths[:-1] * lengths[-1]
        return torch.where(scale > 0, self.alignment / scale, 0.0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        stored = state_dict.get(f"{prefix}mean")
        if stored is not None and (self.mean is None or self.mean.shape != stored.shape):
            self.mean = torch.empty_like(stored, device=self.within.device)
        super()._load_from_state_dict(state_dict, prefix, *more)
