"""The fused node: first layers of all heads in one matrix product, and the weighting inside.

Every head starts with Linear(H, M). Kept in one tensor, their backward pass can form the losses'
embedding-space gradients chunk by chunk, use them for the Gram matrix and the composite, and
throw them away: nothing of size losses x positions x H ever exists. That makes GraP cost what
equal weights cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from grap_seq.weighting.base import Weighting
from grap_seq.weighting.engine import finish, observe, observe_layer, with_downstream
from grap_seq.weighting.few_kernels import gram_on_gpu, starts_kernels
from grap_seq.weighting.pass_state import PassState
from grap_seq.weighting.statistics import CHUNK_ELEMENTS, accumulate, empty_gram, numbers
from grap_seq.weighting.untraced import untraced

# Matrix products of fewer positions are slow, and more of them take memory: with 64 losses of width
# 256 a GRU's step takes 1.18 times as long as with equal weights and its memory 1.02 times, with
# 256 positions 1.18 and 1.08.
CHUNK_POSITIONS = 128

# Shapes: N positions, H embedding width, J = K + 1 heads, M head width; P positions of one head.
Indices = list[Tensor | None]


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
        heads = len(weighting.views)
        self.weight = nn.Parameter(torch.empty(heads, width, in_features))
        self.bias = nn.Parameter(torch.empty(heads, width))
        # The initial distribution of torch.nn.Linear.
        bound = 1 / math.sqrt(in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @untraced
    def forward(
        self, z: Tensor, positions: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Hidden pre-activations by loss name and "downstream", shape (N, M) or (P, M) each.

        Args:
            z: embeddings of the valid positions, shape (N, H).
            positions: by name, sorted indices (P,), int64, of the positions that a head looks at;
                it is then computed there only. One that stands twice counts twice.

        Raises:
            ValueError: positions of an unknown name, of another type or shape, or not sorted.
        """
        positions = positions or {}
        self._check(positions)
        state = self.weighting.begin()
        # The weights learn also where the backbone and the bank are frozen.
        anchor = torch.empty(0, requires_grad=True)
        # torch declares Function.apply without types.
        hidden = _Bank.apply(  # type: ignore[no-untyped-call]
            self.weighting,
            state,
            anchor,
            [positions.get(name) for name in self.weighting.views],
            z,
            self.weight,
            self.bias,
        )
        return dict(zip(self.weighting.views, hidden, strict=True))

    def not_finite(self) -> list[str]:
        """Losses whose gradient is not finite, as their own rows of the bank have it.

        Any method of weighting leaves these alone: they are the plain gradient of their loss.
        """
        if self.weight.grad is None:
            return []
        finite = self.weight.grad.flatten(1).norm(dim=1).isfinite().tolist()
        return [name for name, good in zip(self.weighting.views, finite, strict=True) if not good]

    def _check(self, positions: Mapping[str, Tensor]) -> None:
        """See `forward`."""
        if unknown := sorted(set(positions) - set(self.weighting.views)):
            raise ValueError(
                f"positions for {unknown}: the heads are called {list(self.weighting.views)}"
            )
        for name, index in positions.items():
            if index.dim() != 1 or index.dtype != torch.int64:
                raise ValueError(
                    f"positions of {name!r} are {index.dtype} of shape {tuple(index.shape)}: give"
                    " a vector of int64 indices"
                )
            # Elsewhere the answer would have to be waited for.
            if index.device.type == "cpu" and bool((index[1:] < index[:-1]).any()):
                raise ValueError(f"positions of {name!r} are not sorted: sort them first")


class _Bank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        weighting: Weighting,
        state: PassState,
        anchor: Tensor,
        indices: Indices,
        z: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, ...]:
        del anchor
        # `total` looks for these on its way through the graph.
        ctx.weighting, ctx.state, ctx.tensors_per_view = weighting, state, 1
        device = z.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        ctx.z_dtype, ctx.weight_dtype, ctx.indices = z.dtype, weight.dtype, indices
        ctx.set_materialize_grads(False)
        z, weight, bias = z.to(dtype), weight.to(dtype), bias.to(dtype)
        ctx.save_for_backward(z, weight)
        parameters = zip(bias, weight, indices, strict=True)
        return tuple(torch.addmm(b, _at(z, index), w.T) for b, w, index in parameters)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        # As in `Split.backward`: full precision also for a `backward` called under autocast.
        # Asked for once: under activation checkpointing saved tensors can be had only once.
        z, weight = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):
            return None, None, None, None, *_backward(ctx, z, weight, grads)


def _backward(
    ctx: Any, z_NH: Tensor, weight_JMH: Tensor, grads: tuple[Tensor | None, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of z, the weight and the bias from those of the pre-activations."""
    weighting: Weighting = ctx.weighting
    state: PassState = ctx.state
    indices: Indices = ctx.indices
    # Gradients of the pre-activations, (N, M) or (P, M) each; None where a loss is absent.
    deltas = [None if grad is None else grad.to(weight_JMH.dtype) for grad in grads]
    weight_grad = torch.zeros_like(weight_JMH, dtype=ctx.weight_dtype)
    bias_grad = torch.zeros(weight_JMH.shape[:2], dtype=ctx.weight_dtype, device=z_NH.device)
    for j, delta in enumerate(deltas):
        if delta is not None:
            weight_grad[j] = delta.T @ _at(z_NH, indices[j])
            bias_grad[j] = delta.sum(0, dtype=ctx.weight_dtype)
    composite, statistics, row = torch.zeros_like(z_NH), None, None
    combined = False
    if not weighting.needs_gram_first:
        row = with_downstream(weighting, weighting.coefficients(None))
    if state.computes_gram and weighting.needs_layer:
        statistics = observe_layer(weighting, state, _layer(weight_JMH, weight_grad, bias_grad))
    elif state.computes_gram:
        full = _gram(deltas, indices, weight_JMH, row, composite)
        statistics, combined = observe(weighting, state, full), row is not None
    if row is None:
        row = with_downstream(weighting, weighting.coefficients(statistics))
    if not combined:
        _add_combined(deltas, indices, weight_JMH, row, composite)
    finish(weighting, state, [composite], row[: len(weighting.names)])
    return composite.to(ctx.z_dtype), weight_grad, bias_grad


def _layer(weight_JMH: Tensor, weight_grad: Tensor, bias_grad: Tensor) -> Tensor:
    """Gradients of a linear layer at the identity in front of the bank, (J, H (H+1)).

    Heads are W_j A + b with A and b the layer's, so the gradient of A is W_j^T dW_j and that of its
    bias W_j^T db_j.
    """
    weight = weight_JMH.to(weight_grad.dtype)
    gradients = torch.cat([weight_grad, bias_grad[..., None]], dim=2)
    return torch.bmm(weight.mT, gradients).flatten(1)


def _at(z_NH: Tensor, index: Tensor | None) -> Tensor:
    """Rows of z that a head looks at: (P, H), or all of them."""
    return z_NH if index is None else z_NH.index_select(0, index)


def _gram(
    deltas: list[Tensor | None],
    indices: Indices,
    weight_JMH: Tensor,
    row: Tensor | None,
    composite: Tensor,
) -> Tensor:
    """The Gram matrix (J, J); fills `composite` (N, H) where its coefficients `row` are known.

    Heads that look everywhere meet at all positions. The others meet these and each other only
    where they look, so their products are summed over those positions alone.
    """
    gram_of = gram_on_gpu if starts_kernels(composite.device) else _chunked
    if all(index is None for index in indices):
        return gram_of(deltas, weight_JMH, row, composite)
    full = empty_gram(len(deltas), composite)
    everywhere = [j for j, index in enumerate(indices) if index is None]
    somewhere = {j: index for j, index in enumerate(indices) if index is not None}
    dense = numbers(tuple(everywhere), composite.device)
    chosen = None if row is None else row[dense[: sum(j < len(row) for j in everywhere)]]
    products = gram_of([deltas[j] for j in everywhere], weight_JMH[dense], chosen, composite)
    full[dense[:, None], dense] = products
    # Heads of one family look at one tensor. What stands twice here is empty the second time,
    # see `_compact`: leaving it out would make the host wait for the number of positions.
    distinct = {id(index): index for index in somewhere.values()}
    positions = torch.cat(list(distinct.values())).sort().values
    compact = [_compact(*pair, positions) for pair in zip(deltas, indices, strict=True)]
    meeting = gram_of(compact, weight_JMH, None, composite[: len(positions)])
    sparse = numbers(tuple(somewhere), composite.device)
    full[sparse], full[:, sparse] = meeting[sparse], meeting[:, sparse]
    if row is not None:
        pairs = zip(deltas, indices, strict=True)
        rest = [None if index is None else delta for delta, index in pairs]
        _add_combined(rest, indices, weight_JMH, row, composite)
    return full


def _compact(delta: Tensor | None, index: Tensor | None, positions: Tensor) -> Tensor | None:
    """A head's gradient at rising positions, shape (U, M); a position that stands twice is added.

    Of a position that stands twice in `positions`, the first place has what a head that looks
    somewhere has there, and the second has nothing.
    """
    if delta is None or index is None:
        return None if delta is None else delta.index_select(0, positions)
    there = torch.searchsorted(positions, index)
    return delta.new_zeros(len(positions), delta.shape[1]).index_add_(0, there, delta)


def _chunked(
    deltas: list[Tensor | None], weight_JMH: Tensor, row: Tensor | None, composite: Tensor
) -> Tensor:
    """The Gram matrix of heads at the same positions; fills `composite` by the coefficients `row`.

    Of the composite's size is how many positions there are.
    """
    positions, features = composite.shape
    heads = len(deltas)
    full = empty_gram(heads, composite)
    step = min(positions, max(CHUNK_POSITIONS, CHUNK_ELEMENTS // max(1, heads * features)))
    buffer = composite.new_zeros(heads, step * features)
    for start in range(0, positions, max(1, step)):
        size = min(step, positions - start)
        rows = buffer[:, : size * features]
        for j, delta in enumerate(deltas):
            if delta is not None:
                gradient = rows[j].view(size, features)
                torch.mm(delta[start : start + size], weight_JMH[j], out=gradient)
        accumulate(full, rows)
        if row is not None:
            mixed = row.to(rows.dtype) @ rows[: len(row)]
            composite[start : start + size] = mixed.view(size, features)
    return full


def _add_combined(
    deltas: list[Tensor | None],
    indices: Indices,
    weight_JMH: Tensor,
    row: Tensor,
    composite: Tensor,
) -> None:
    """Add sum_k c_k g_k to `composite` (N, H), without forming the g_k."""
    scaled = weight_JMH[: len(row)] * row.to(weight_JMH.dtype)[:, None, None]
    for delta, index, weight in zip(deltas, indices, scaled, strict=False):
        if delta is None:
            continue
        if index is None:
            composite.addmm_(delta, weight)
        else:
            composite.index_add_(0, index, delta @ weight)
