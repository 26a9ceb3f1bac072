"""The general node: one view of the embedding for each loss, whatever the heads.

Autograd calls its backward pass once, when the gradients of all losses have arrived. They exist
together at that moment: K+1 times the embedding's size. The head bank avoids that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from grap_seq.weighting.engine import finish, observe, observe_layer, with_downstream
from grap_seq.weighting.pass_state import PassState
from grap_seq.weighting.statistics import CHUNK_ELEMENTS, accumulate, empty_gram, numbers

if TYPE_CHECKING:
    from grap_seq.weighting.base import Weighting

Grads = tuple[Tensor | None, ...]


class Split(torch.autograd.Function):
    """Tensors of an embedding -> K+1 views of each; the backward pass is the weighting.

    `anchor` is an empty tensor that requires a gradient: the weights learn also where the backbone
    is frozen. Views come loss by loss, all tensors of the first loss first.
    """

    @staticmethod
    def forward(
        ctx: Any, weighting: Weighting, state: PassState, anchor: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        del anchor
        # `total` looks for these on its way through the graph.
        ctx.weighting, ctx.state, ctx.tensors_per_view = weighting, state, len(tensors)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*(tensors if weighting.needs_layer else ()))
        return tuple(tensor.view_as(tensor) for _ in weighting.views for tensor in tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        size: int = ctx.tensors_per_view
        some = next((grad for grad in grads if grad is not None), None)
        if some is None:
            return tuple(None for _ in range(3 + size))
        # By tensor: the gradients of the K+1 losses, None where a loss is absent.
        by_tensor = [grads[index::size] for index in range(size)]
        # `backward` may be called under autocast, which would round the K x K algebra to bf16.
        with torch.autocast(some.device.type, enabled=False):
            composites = _weigh(ctx.weighting, ctx.state, by_tensor, some, ctx.saved_tensors)
        return None, None, None, *composites


def _weigh(
    weighting: Weighting,
    state: PassState,
    by_tensor: list[Grads],
    some: Tensor,
    tensors: tuple[Tensor, ...],
) -> list[Tensor | None]:
    """Composite of every tensor; `some` is any gradient, `tensors` where the layer is needed."""
    statistics = None
    if state.computes_gram and weighting.needs_layer:
        pairs = zip(tensors, by_tensor, strict=True)
        layer = torch.cat([_layer(z, grads) for z, grads in pairs], dim=1)
        statistics = observe_layer(weighting, state, layer)
    elif state.computes_gram:
        full = empty_gram(len(by_tensor[0]), some)
        for grads in by_tensor:
            _add_gram(full, grads)
        statistics = observe(weighting, state, full)
    coefficients = weighting.coefficients(statistics)
    row = with_downstream(weighting, coefficients)
    composites = [_combine(row, grads) for grads in by_tensor]
    finish(weighting, state, [tensor for tensor in composites if tensor is not None], coefficients)
    return composites


def _layer(z: Tensor, grads: Grads) -> Tensor:
    """Gradients of a linear layer at the identity behind `z`, shape (..., H): (J, H (H+1))."""
    rows = z.reshape(-1, z.shape[-1])
    ones = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
    found = rows.new_zeros(len(grads), rows.shape[1], ones.shape[1])
    for index, grad in enumerate(grads):
        if grad is not None:
            found[index] = grad.reshape(len(rows), -1).T.to(rows.dtype) @ ones
    return found.flatten(1)


def _add_gram(full: Tensor, grads: Grads) -> None:
    """Add the inner products of one tensor's gradients to `full`, shape (J, J)."""
    present = [index for index, grad in enumerate(grads) if grad is not None]
    rows = [grad.reshape(-1) for grad in grads if grad is not None]
    if not rows:
        return
    gram = torch.zeros(len(rows), len(rows), dtype=full.dtype, device=full.device)
    step = max(1, CHUNK_ELEMENTS // len(rows))
    for start in range(0, rows[0].numel(), step):
        accumulate(gram, torch.stack([row[start : start + step] for row in rows]))
    index = numbers(tuple(present), full.device)
    full[index[:, None], index] += gram


def _combine(row: Tensor, grads: Grads) -> Tensor | None:
    """sum_k c_k g_k; None where no loss reaches this tensor."""
    some = next((grad for grad in grads if grad is not None), None)
    if some is None:
        return None
    composite = torch.zeros_like(some)
    # Shorter than `grads` where the downstream gradient takes no part.
    for coefficient, grad in zip(row, grads, strict=False):
        if grad is not None:
            composite.addcmul_(grad, coefficient.to(grad.dtype))
    return composite
