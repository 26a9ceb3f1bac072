"""The Gram matrix of heads on a GPU, where what counts is how many kernels are started.

The gradient of loss i with respect to the embedding is delta_i W_i, with delta_i (N, M) that of its
head's pre-activations. So

    <g_i, g_j> = <delta_i^T delta_j, W_i W_j^T>

and all of C is one product of the deltas, one of the weights, and a sum over M x M blocks; no g_i
is formed. The operations grow with (J M)^2: for many heads their gradients are formed after all.
Both take the positions in chunks, much larger than a CPU's cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grap_seq.weighting.statistics import empty_gram

# J M up to which the products take at most 64 MB each in float32.
MOST_UNITS = 4096
# Elements of a chunk of deltas or gradients, 64 MB in float32.
CHUNK_ELEMENTS = 1 << 24

# Shapes: N positions, H embedding width, J heads, M head width.


def starts_kernels(device: torch.device) -> bool:
    """Whether operations cost by their number there, and not only by their size."""
    return device.type != "cpu"


def gram_on_gpu(
    deltas: list[Tensor | None], weight_JMH: Tensor, row: Tensor | None, composite: Tensor
) -> Tensor:
    """The Gram matrix (J, J) of heads at the same positions.

    Args:
        deltas: gradients of the pre-activations, shape (N, M) each; None where a loss is absent.
        weight_JMH: the heads' weights.
        row: coefficients of the first heads; None: they are not known yet.
        composite: shape (N, H); where `row` is known, filled with the sum of the gradients by it.
    """
    heads, width, _ = weight_JMH.shape
    if not heads or not len(composite):
        return empty_gram(heads, composite)
    present = [delta for delta in deltas if delta is not None]
    if len(present) < heads:
        absent = composite.new_zeros(len(composite), width)
        present = [absent if delta is None else delta for delta in deltas]
    formed = heads * width > MOST_UNITS
    full = empty_gram(heads if formed else heads * width, composite)
    scaled = None
    if row is not None:
        factors = row.to(weight_JMH.dtype)[:, None, None]
        scaled = (weight_JMH[: len(row)] * factors).flatten(0, 1)
    step = max(1, CHUNK_ELEMENTS // (heads * width))
    for start in range(0, len(composite), step):
        part = slice(start, start + step)
        chunk = [delta[part] for delta in present]
        _add(full, chunk, weight_JMH if formed else None, scaled, composite[part])
    if formed:
        return full
    rows = weight_JMH.flatten(0, 1).to(full.dtype)
    return full.mul_(rows @ rows.T).view(heads, width, heads, width).sum((1, 3))


def _add(
    full: Tensor,
    deltas: list[Tensor],
    weight_JMH: Tensor | None,
    scaled: Tensor | None,
    composite: Tensor,
) -> None:
    """Add a chunk's products to `full` and fill its part of `composite`.

    Products are those of the gradients (J, J) by `weight_JMH`, without it of the deltas (J M, J M).
    """
    joint = torch.cat(deltas, dim=1)
    if scaled is not None:
        torch.mm(joint[:, : len(scaled)], scaled, out=composite)
    if weight_JMH is None:
        wide = joint.to(full.dtype)
        full.addmm_(wide.T, wide)
    else:
        by_head = joint.view(len(joint), *weight_JMH.shape[:2]).transpose(0, 1)
        heads, _, features = weight_JMH.shape
        for part in torch.split(by_head, max(1, CHUNK_ELEMENTS // (heads * features)), dim=1):
            # The whole symmetric matrix: half of it, in blocks, starts five times as many kernels.
            gradients = torch.bmm(part, weight_JMH).flatten(1).to(full.dtype)
            full.addmm_(gradients, gradients.T)
