"""What losses and label have in common from batch to batch, beside the noise of a batch.

Gradients with respect to an embedding have coordinates in one batch only, and there the product of
two of them is that of their means plus the covariance of their noise, which both have from the same
events. With few labels in a batch the covariance is the larger part, and may have the other sign
(benchmarks/alignment.py). Gradients of parameters have the same coordinates in every batch (the
paper's Theorem A.1 adds them up along a rollout). Those of a linear layer between backbone and
heads, at the identity, cost next to nothing: A_k = sum_t g_k(t) z(t)^T, and sum_t g_k(t) of its
bias. A batch's gradients are multiplied by the mean gradients of the batches before it, whose noise
is another one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.weighting.running import RunningMean

ENOUGH = 100


class AcrossBatches(nn.Module):
    """Mean gradients of K losses and of the label, and their products over different batches.

    Args:
        losses: K.
        decay: of the moving averages, in (0, 1).
        enough: batches from which on they are believed.
    """

    mean: Tensor | None  # (K+1, P), of the width of what comes
    gram: Tensor  # (K+1, K+1) mean of the products within a batch
    batches: Tensor  # () so far

    def __init__(self, losses: int, decay: float, enough: int = ENOUGH) -> None:
        super().__init__()
        self.decay, self.enough = decay, enough
        self.register_buffer("mean", None)
        self.register_buffer("gram", torch.zeros(losses + 1, losses + 1))
        self.register_buffer("batches", torch.zeros(()))
        # Of every loss with the label, and how sure that is.
        self.products = RunningMean(losses, decay)

    @torch.no_grad()
    def add(self, layer: Tensor, known: Tensor) -> None:
        """One more batch.

        Args:
            layer: gradients of the losses, the label's last, shape (K+1, P); zeros of a loss that
                the batch has not.
            known: whether the batch counts, shape (), bool: whether it has labels.
        """
        layer = layer.to(self.gram.dtype)
        if self.mean is None:
            self.mean = torch.zeros_like(layer)
        crossed = (self.mean[:-1] @ layer[-1] + layer[:-1] @ self.mean[-1]) / 2
        self.products.add(crossed, (known & (self.batches > 0)).expand(len(crossed)))
        self.batches += known
        # The plain mean of the first batches.
        share = known / self.batches.clamp(1, 1 / (1 - self.decay))
        self.mean.lerp_(layer, share)
        self.gram.lerp_(layer @ layer.T, share)

    @property
    def believed(self) -> Tensor:
        """Whether there have been enough batches, shape (), bool."""
        return self.batches >= self.enough

    def alignment(self, caution: float) -> Tensor:
        """p, shape (K,), shrunk by its standard error e (James and Stein's positive part).

        p_k counts with the share max(0, 1 - (caution e_k / p_k)^2).
        """
        mean, error = self.products.mean, self.products.error
        share = (1 - (caution * error / mean).square()).clamp(min=0)
        return torch.where(mean == 0, 0.0, mean * share)

    @property
    def cosines(self) -> Tensor:
        """p_k over the root mean square lengths of loss k's and the label's gradient, (K,)."""
        lengths = self.gram.diagonal().sqrt()
        scale = lengths[:-1] * lengths[-1]
        return torch.where(scale > 0, self.products.mean / scale, 0.0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        stored = state_dict.get(f"{prefix}mean")
        if stored is not None and (self.mean is None or self.mean.shape != stored.shape):
            self.mean = torch.empty_like(stored, device=self.gram.device)
        super()._load_from_state_dict(state_dict, prefix, *more)
