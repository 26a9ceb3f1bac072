"""Inner products of the losses' gradients: all that a weighting method needs.

With K losses, g_k the gradient of loss k with respect to the embedding z and d that of the
downstream loss: C = (g_i . g_j) and p = (g_i . d). They are accumulated over chunks, so the
gradients of all losses never have to exist at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

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
        full: Gram matrix of [g_1 .. g_K, d], shape (K+1, K+1).
        losses: values of the K losses, shape (K,); NaN where they are not known.
        layer: where the method `needs_layer`, the gradients whose products these are, with respect
            to a linear layer in front of the heads, shape (K+1, H (H+1)); they are gone after the
            pass.
    """

    full: Tensor
    losses: Tensor
    layer: Tensor | None = None

    @classmethod
    def from_full_gram(
        cls, full: Tensor, losses: Tensor | None = None, layer: Tensor | None = None
    ) -> GradientStatistics:
        """Of losses whose values may be unknown."""
        if losses is None:
            losses = torch.full_like(full[:-1, -1], torch.nan)
        return cls(full, losses, layer)

    @property
    def gram(self) -> Tensor:
        """C, shape (K, K)."""
        return self.full[:-1, :-1]

    @property
    def alignment(self) -> Tensor:
        """p, shape (K,)."""
        return self.full[:-1, -1]

    @cached_property
    def _lengths(self) -> Tensor:
        """|g_k| and |d|, shape (K+1,)."""
        return self.full.diagonal().sqrt()

    @property
    def norms(self) -> Tensor:
        """|g_k|, shape (K,)."""
        return self._lengths[:-1]

    @property
    def downstream_norm(self) -> Tensor:
        """|d|, shape (); zero where the batch has no label."""
        return self._lengths[-1]

    @property
    def present(self) -> Tensor:
        """Losses that have a gradient in this batch, shape (K,), bool."""
        return self.gram.diagonal() > 0

    @cached_property
    def cosines(self) -> Tensor:
        """Cosine of g_k with d, shape (K,); zero where either vanishes."""
        scale = self.norms * self.downstream_norm
        return torch.where(scale > 0, self.alignment / scale, 0.0)

    @property
    def finite(self) -> Tensor:
        """Whether every inner product is a finite number, shape (), bool."""
        # Infinity times zero is no number. `isfinite().all()` starts twice as many kernels.
        return (self.full * 0).sum() == 0

    @cached_property
    def labelled(self) -> Tensor:
        """Whether the batch has a downstream gradient, shape (), bool."""
        return self.downstream_norm > 0

    def or_nothing(self) -> GradientStatistics:
        """The same where all is finite, else those of a batch that has no loss.

        Works on `layer` in place.
        """
        finite = self.finite
        return GradientStatistics(
            full=torch.where(finite, self.full, 0.0),
            losses=torch.where(finite, self.losses, torch.nan),
            layer=None if self.layer is None else self.layer.masked_fill_(~finite, 0.0),
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
