"""The length of the composite, from the Gram matrix alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Rescale: TypeAlias = Literal["equal", "unit"]


def composite_norm(coefficients: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """|sum_k c_k g_k|, shape (...), and whether it is more than rounding error.

    Args:
        coefficients: c, shape (..., K).
        gram: C, shape (K, K).

    Opposite losses can cancel exactly; their Gram matrix then leaves a tiny number of either sign.
    """
    square = (coefficients @ gram * coefficients).sum(-1)
    largest = (coefficients.abs() @ gram.diagonal().sqrt()).square()
    resolved = square > 8 * torch.finfo(gram.dtype).eps * largest
    return square.clamp(min=0).sqrt(), resolved


def equal_scale(coefficients: Tensor, reference: Tensor, gram: Tensor) -> Tensor:
    """Factor that gives the composite the norm of sum_k reference_k g_k; zero if it vanishes."""
    norms, resolved = composite_norm(torch.stack([coefficients, reference]), gram)
    return torch.where(resolved[0], norms[1] / norms[0], 0.0)
