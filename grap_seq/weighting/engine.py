"""The backward pass of both nodes around the method: written once.

coefficients known before the Gram matrix?  ->  once over the gradients, else twice
Gram matrix of this process  ->  statistics of the whole batch, in the losses' own scale
composite = scale * sum_k c_k g_k  ->  backbone;  the weights' gradient  ->  weights.grad
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grap_seq.weighting.collective import whole_batch
from grap_seq.weighting.pass_state import PassState
from grap_seq.weighting.statistics import GradientStatistics

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting


def observe(weighting: Weighting, state: PassState, full: Tensor) -> GradientStatistics:
    """Statistics of the whole batch from this process's Gram matrix of [g_1 .. g_K, d].

    Raises:
        ValueError: the method needs the values of the losses and `total` was not called.
    """
    _check_losses(weighting, state)
    square = state.loss_scale.to(full.device, full.dtype).square()
    full = torch.where(square == 0, full, full / square)
    full, losses = whole_batch(full, state.values(weighting.views, full))
    state.statistics = GradientStatistics.from_full_gram(full, losses[:-1])
    return state.statistics


def observe_layer(weighting: Weighting, state: PassState, layer: Tensor) -> GradientStatistics:
    """The same from this process's gradients of a linear layer in front of the heads.

    Args:
        weighting: the method.
        state: of the pass.
        layer: shape (J, P); of a loss that the batch has not, zeros.

    Raises:
        ValueError: the method needs the values of the losses and `total` was not called.
    """
    _check_losses(weighting, state)
    layer = layer.to(torch.promote_types(layer.dtype, torch.float32))
    factor = state.loss_scale.to(layer.device, layer.dtype)
    # In place, here and below: it is as large as all first layers of the heads.
    layer.div_(torch.where(factor == 0, 1.0, factor))
    layer, losses = whole_batch(layer, state.values(weighting.views, layer), degree=1)
    state.statistics = GradientStatistics.from_full_gram(layer @ layer.T, losses[:-1], layer)
    return state.statistics


def _check_losses(weighting: Weighting, state: PassState) -> None:
    if weighting.needs_losses and not state.losses:
        raise weighting.losses_unknown()


def with_downstream(weighting: Weighting, coefficients: Tensor) -> Tensor:
    """Coefficients of the rows that form the composite: K of them, or K+1 where d is one.

    A zero would not do: the downstream gradient may be infinite, and 0 * inf is not 0.
    """
    if weighting.downstream == 0:
        return coefficients
    return torch.cat([coefficients, coefficients.new_full((1,), weighting.downstream)])


def finish(
    weighting: Weighting, state: PassState, composite: Sequence[Tensor], coefficients: Tensor
) -> None:
    """Scale the composite in place and add the weights' gradient to `weights.grad`.

    Statistics that are not finite are kept for the error message, but the method sees those of a
    batch without a loss in their place: running averages would stay poisoned. Nothing here asks
    the device for a number, which the host would have to wait for.
    """
    weighting.steps += 1
    weighting.last_pass = state
    # A copy: the weights themselves change with the optimiser's step, before anyone reads the log.
    state.effective = coefficients.detach().clone()
    statistics = state.statistics
    if statistics is None:
        return
    scale = weighting.scale(coefficients, statistics)
    if scale is not None:
        state.effective *= scale.to(coefficients.dtype)
        for tensor in composite:
            tensor.mul_(scale.to(tensor.dtype))
    seen = statistics.or_nothing()
    weighting.cosines.see(seen)
    update = weighting.update(seen)
    state.statistics = replace(statistics, layer=None)
    if update is not None:
        # The optimiser divides the scale out again, or adds up the parts of an accumulated batch.
        update = (update * state.loss_scale.to(update)).to(weighting.weights.dtype)
    weighting.add_gradient(update)
