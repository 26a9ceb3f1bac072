"""The general node: one view of the embedding for each loss, whatever the heads.

Autograd calls its backward pass once, when the gradients of all losses have arrived. They exist
together at that moment: K+1 times the embedding's size. The head bank avoids that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grap_seq.weighting.statistics import (
    CHUNK_ELEMENTS,
    GradientStatistics,
    accumulate,
    empty_gram,
)

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting


class Split(torch.autograd.Function):
    """z, weights (K,) -> K+1 views of z; the backward pass is the weighting."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weights: Tensor, weighting: Weighting) -> tuple[Tensor, ...]:
        ctx.weighting = weighting
        ctx.set_materialize_grads(False)
        return tuple(z.view_as(z) for _ in range(len(weights) + 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        weighting: Weighting = ctx.weighting
        some = next((grad for grad in grads if grad is not None), None)
        if some is None:
            return None, None, None
        # `backward` may be called under autocast, which would round the K x K algebra to bf16.
        with torch.autocast(some.device.type, enabled=False):
            return (*_weigh(weighting, grads, some), None)


def _weigh(
    weighting: Weighting, grads: tuple[Tensor | None, ...], some: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Composite, shaped like `some`, and the weights' gradient, shape (K,)."""
    flat = [None if grad is None else grad.reshape(-1) for grad in grads]
    full = empty_gram(len(grads), some)
    if weighting.needs_gram:
        present = [index for index, grad in enumerate(flat) if grad is not None]
        rows = [grad for grad in flat if grad is not None]
        part = empty_gram(len(rows), some)
        step = max(1, CHUNK_ELEMENTS // len(rows))
        for start in range(0, some.numel(), step):
            accumulate(part, torch.stack([row[start : start + step] for row in rows]))
        index = torch.tensor(present, device=full.device)
        full[index[:, None], index] = part
    statistics = GradientStatistics.from_full_gram(full)
    coefficients = weighting.coefficients(statistics)
    assert coefficients is not None
    composite = torch.zeros_like(some)
    for coefficient, grad in zip(coefficients, grads[:-1], strict=True):
        if grad is not None:
            composite.addcmul_(grad, coefficient.to(grad.dtype))
    return finish(weighting, composite, coefficients, statistics)


def finish(
    weighting: Weighting, composite: Tensor, coefficients: Tensor, statistics: GradientStatistics
) -> tuple[Tensor, Tensor | None]:
    """Scale the composite in place and form the weights' gradient, shape (K,).

    Shared by both nodes. Statistics that are not finite are kept for the error message, but the
    method never sees them: running averages would stay poisoned.
    """
    if not weighting.needs_gram:
        return composite, None
    weighting.statistics = statistics
    composite.mul_(weighting.scale(coefficients, statistics).to(composite.dtype))
    update = weighting.update(statistics) if statistics.is_finite() else None
    return composite, None if update is None else update.to(weighting.weights.dtype)
