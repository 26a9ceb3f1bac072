"""The backward pass of both nodes around the method: written once.

coefficients known before the Gram matrix?  ->  one pass over the gradients, else two
Gram matrix of this process  ->  statistics of the whole batch, in the losses' own scale
composite = scale * sum_k c_k g_k  ->  backbone;  the weights' gradient  ->  weights.grad
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grap_seq.weighting.collective import whole_batch
from grap_seq.weighting.statistics import GradientStatistics

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting


class Total(torch.autograd.Function):
    """Sum of the losses; its backward pass tells the weighting by what the total was multiplied.

    A gradient scaler multiplies it by its scale, gradient accumulation divides it by the number of
    batches. Knowing the factor, the weights' update and their running statistics are free of it.
    """

    @staticmethod
    def forward(ctx: Any, weighting: Weighting, *losses: Tensor) -> Tensor:
        ctx.weighting, ctx.dtypes = weighting, [loss.dtype for loss in losses]
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ctx.weighting.loss_scale = grad.detach()
        return None, *(grad.to(dtype) for dtype in ctx.dtypes)


def check_heads(weighting: Weighting, present: Sequence[bool]) -> None:
    """Refuse a loss that was trained on but sent no gradient to its view.

    Raises:
        ValueError: names the loss.
    """
    for name, arrived in zip(weighting.views, present, strict=True):
        if name in weighting.declared and not arrived:
            raise ValueError(
                f"the loss {name!r} does not depend on the embedding: feed its head with"
                f" views[{name!r}], undetached"
            )
    weighting.declared, weighting.unanswered = frozenset(), 0


def observe(weighting: Weighting, full: Tensor) -> GradientStatistics:
    """Statistics of the whole batch from this process's Gram matrix of [g_1 .. g_K, d]."""
    square = weighting.loss_scale.to(full.device, full.dtype).square()
    full = torch.where(square == 0, full, full / square)
    full, losses = whole_batch(full, weighting.loss_values(full))
    weighting.statistics = GradientStatistics.from_full_gram(full, losses[:-1])
    return weighting.statistics


def with_downstream(weighting: Weighting, coefficients: Tensor) -> Tensor:
    """Coefficients of the rows that form the composite: K of them, or K+1 where d is one.

    A zero would not do: the downstream gradient may be infinite, and 0 * inf is not 0.
    """
    if weighting.downstream == 0:
        return coefficients
    return torch.cat([coefficients, coefficients.new_full((1,), weighting.downstream)])


def finish(
    weighting: Weighting,
    composite: Sequence[Tensor],
    coefficients: Tensor,
    statistics: GradientStatistics | None,
) -> None:
    """Scale the composite in place and add the weights' gradient to `weights.grad`.

    Statistics that are not finite are kept for the error message, but the method never sees them:
    running averages would stay poisoned.
    """
    weighting.steps += 1
    weighting.effective = coefficients.detach()
    if statistics is None:
        return
    scale = weighting.scale(coefficients, statistics)
    if scale is not None:
        weighting.effective = weighting.effective * scale.to(coefficients.dtype)
        for part in composite:
            part.mul_(scale.to(part.dtype))
    if not statistics.is_finite():
        return
    weighting.cosines.add(statistics)
    update = weighting.update(statistics)
    if update is None:
        return
    # The optimiser divides the scale out again, or adds up the parts of an accumulated batch.
    update = (update * weighting.loss_scale.to(update)).to(weighting.weights.dtype)
    previous = weighting.weights.grad
    weighting.weights.grad = update if previous is None else previous + update
