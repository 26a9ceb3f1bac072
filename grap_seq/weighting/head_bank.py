"""The fused node: first layers of all heads in one matrix product, and the weighting inside.

Every head starts with Linear(H, M). Kept in one tensor, their backward pass can form the losses'
embedding-space gradients chunk by chunk, use them for the Gram matrix and the composite, and
throw them away: nothing of size losses x positions x H ever exists. That makes GraP cost what
equal weights cost.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.weighting.base import DOWNSTREAM, Weighting
from grap_seq.weighting.split import finish
from grap_seq.weighting.statistics import (
    CHUNK_ELEMENTS,
    GradientStatistics,
    accumulate,
    empty_gram,
)

# Shapes: N positions, H embedding width, J = K + 1 heads, M head width.


class HeadBank(nn.Module):
    """First linear layer of every head, the downstream head last.

    Args:
        weighting: the weighting of the K losses.
        in_features: H, width of the embedding.
        width: M, hidden width of the heads.
    """

    def __init__(self, weighting: Weighting, in_features: int, width: int = 128) -> None:
        super().__init__()
        self.weighting = weighting
        heads = len(weighting.names) + 1
        self.weight = nn.Parameter(torch.empty(heads, width, in_features))
        self.bias = nn.Parameter(torch.empty(heads, width))
        # The initial distribution of torch.nn.Linear.
        bound = 1 / math.sqrt(in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Hidden pre-activations, shape (N, M) each, by loss name and "downstream".

        Args:
            z: embeddings of the valid positions, shape (N, H).
        """
        self.weighting.prepare()
        # torch declares Function.apply without types.
        hidden_NJM = _Bank.apply(  # type: ignore[no-untyped-call]
            z, self.weight, self.bias, self.weighting.weights, self.weighting
        )
        names = (*self.weighting.names, DOWNSTREAM)
        return dict(zip(names, hidden_NJM.unbind(1), strict=True))


class _Bank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, weights: Tensor, weighting: Weighting
    ) -> Tensor:
        device = z.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        ctx.weighting, ctx.z_dtype, ctx.weight_dtype = weighting, z.dtype, weight.dtype
        z, weight = z.to(dtype), weight.to(dtype)
        ctx.save_for_backward(z, weight)
        heads, width, features = weight.shape
        hidden = torch.addmm(bias.to(dtype).view(-1), z, weight.view(-1, features).T)
        return hidden.view(-1, heads, width)

    @staticmethod
    def backward(ctx: Any, delta_NJM: Tensor) -> tuple[Tensor | None, ...]:
        weighting: Weighting = ctx.weighting
        z_NH, weight_JMH = ctx.saved_tensors
        delta_NJM = delta_NJM.to(weight_JMH.dtype).contiguous()
        coefficients = weighting.coefficients(None)
        full = empty_gram(len(weight_JMH), delta_NJM)
        composite: Tensor | None = None
        if weighting.needs_gram:
            composite = _chunked(delta_NJM, weight_JMH, full, coefficients)
        statistics = GradientStatistics.from_full_gram(full)
        if composite is None:
            coefficients = weighting.coefficients(statistics)
            assert coefficients is not None
            composite = _combined(delta_NJM, weight_JMH, coefficients)
        assert coefficients is not None
        composite, update = finish(weighting, composite, coefficients, statistics)
        flat_NF = delta_NJM.flatten(1)
        weight_grad = (flat_NF.T @ z_NH).view_as(weight_JMH)
        bias_grad = delta_NJM.sum(0, dtype=ctx.weight_dtype)
        return (
            composite.to(ctx.z_dtype),
            weight_grad.to(ctx.weight_dtype),
            bias_grad,
            update,
            None,
        )


def _chunked(
    delta_NJM: Tensor, weight_JMH: Tensor, full: Tensor, coefficients: Tensor | None
) -> Tensor | None:
    """Fill `full` (J, J); return the composite (N, H) where its coefficients are known already."""
    positions, heads, _ = delta_NJM.shape
    features = weight_JMH.shape[-1]
    composite = None
    if coefficients is not None:
        composite = delta_NJM.new_empty(positions, features)
        coefficients = coefficients.to(delta_NJM.dtype)
    step = max(1, CHUNK_ELEMENTS // (heads * features))
    for start in range(0, positions, step):
        delta = delta_NJM[start : start + step]
        grads_JF = torch.bmm(delta.transpose(0, 1), weight_JMH).flatten(1)
        accumulate(full, grads_JF)
        if composite is not None and coefficients is not None:
            rows = composite[start : start + step].view(-1)
            torch.mv(grads_JF[:-1].T, coefficients, out=rows)
    return composite


def _combined(delta_NJM: Tensor, weight_JMH: Tensor, coefficients: Tensor) -> Tensor:
    """sum_k c_k g_k, shape (N, H), without forming the g_k."""
    scaled_KMH = weight_JMH[:-1] * coefficients.to(weight_JMH.dtype)[:, None, None]
    return delta_NJM[:, :-1].flatten(1) @ scaled_KMH.flatten(0, 1)
