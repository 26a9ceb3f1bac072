"""Inner products of the losses' embedding-space gradients: all that a weighting method needs.

With K losses, g_k the gradient of loss k with respect to the embedding z and d that of the
downstream loss: C = (g_i . g_j) and p = (g_i . d). They are accumulated over chunks, so the
gradients of all losses never have to exist at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

# Elements of a (losses, positions) chunk: 2 MB in float32, small enough to stay in cache.
CHUNK_ELEMENTS = 1 << 19
# Losses in a block of the Gram matrix: fewer make slow matrix products. With 65 losses, half the
# matrix in blocks of 32 takes three quarters of the time of the whole one.
BLOCK = 32


@dataclass(frozen=True)
class GradientStatistics:
    """Statistics of one backward pass, over all processes.

    Attributes:
        gram: C, shape (K, K).
        alignment: p, shape (K,).
        downstream_norm: |d|, shape (); zero where the batch has no label.
        losses: values of the K losses, shape (K,); NaN where they are not known.
    """

    gram: Tensor
    alignment: Tensor
    downstream_norm: Tensor
    losses: Tensor

    @classmethod
    def from_full_gram(cls, full: Tensor, losses: Tensor | None = None) -> GradientStatistics:
        """From the Gram matrix of [g_1 .. g_K, d], shape (K+1, K+1)."""
        if losses is None:
            losses = torch.full_like(full[:-1, -1], torch.nan)
        return cls(full[:-1, :-1], full[:-1, -1], full[-1, -1].sqrt(), losses)

    @property
    def norms(self) -> Tensor:
        """|g_k|, shape (K,)."""
        return self.gram.diagonal().sqrt()

    @property
    def present(self) -> Tensor:
        """Losses that have a gradient in this batch, shape (K,), bool."""
        return self.gram.diagonal() > 0

    @property
    def cosines(self) -> Tensor:
        """Cosine of g_k with d, shape (K,); zero where either vanishes."""
        scale = self.norms * self.downstream_norm
        return torch.where(scale > 0, self.alignment / scale, 0.0)

    @property
    def finite(self) -> Tensor:
        """Whether every inner product is a finite number, shape (), bool."""
        finite = self.gram.isfinite().all() & self.alignment.isfinite().all()
        return finite & self.downstream_norm.isfinite()

    @property
    def labelled(self) -> Tensor:
        """Whether the batch has a downstream gradient, shape (), bool."""
        return self.downstream_norm > 0

    def or_nothing(self) -> GradientStatistics:
        """The same where all is finite, else those of a batch that has no loss."""
        finite = self.finite
        return GradientStatistics(
            gram=torch.where(finite, self.gram, 0.0),
            alignment=torch.where(finite, self.alignment, 0.0),
            downstream_norm=torch.where(finite, self.downstream_norm, 0.0),
            losses=torch.where(finite, self.losses, torch.nan),
        )


@lru_cache(maxsize=256)
def numbers(losses: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers of losses on a device, copied there once and not in every step."""
    return torch.tensor(losses, dtype=torch.int64, device=device)


def empty_gram(size: int, like: Tensor) -> Tensor:
    """A zero Gram matrix, shape (size, size), in float32 or better also under bf16."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.zeros(size, size, dtype=dtype, device=like.device)


def accumulate(full: Tensor, rows: Tensor) -> None:
    """Add the inner products of `rows`, shape (J, n), to `full`, shape (J, J), in place.

    The matrix is symmetric: of its blocks beside the diagonal, one half is computed.
    """
    rows = rows.to(full.dtype)
    for start in range(0, len(rows), BLOCK):
        end = start + BLOCK
        products = rows[start:] @ rows[start:end].T
        full[start:, start:end] += products
        full[start:end, end:] += products[BLOCK:].T
