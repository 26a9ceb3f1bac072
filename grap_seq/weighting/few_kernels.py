"""The Gram matrix of heads on a GPU, where what counts is how many kernels are started.

The gradient of loss i with respect to the embedding is delta_i W_i, with delta_i (N, M) that of its
head's pre-activations. So

    <g_i, g_j> = <delta_i^T delta_j, W_i W_j^T>

and all of C is one product of the deltas, one of the weights, and a sum over M x M blocks; no g_i
is formed. The operations grow with (J M)^2: for many heads their gradients are formed after all, in
chunks much larger than a CPU's cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grap_seq.weighting.statistics import accumulate, empty_gram

# J M up to which the products take at most 64 MB each in float32.
MOST_UNITS = 4096
# Elements of a chunk of gradients, 128 MB in float32.
CHUNK_ELEMENTS = 1 << 25

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
    heads, width, features = weight_JMH.shape
    if not heads or not len(composite):
        return empty_gram(heads, composite)
    present = [delta for delta in deltas if delta is not None]
    if len(present) < heads:
        absent = composite.new_zeros(len(composite), width)
        present = [absent if delta is None else delta for delta in deltas]
    joint = torch.cat(present, dim=1)
    flat = weight_JMH.flatten(0, 1)
    if heads * width <= MOST_UNITS:
        exact = torch.promote_types(joint.dtype, torch.float32)
        wide, rows = joint.to(exact), flat.to(exact)
        products = (wide.T @ wide).mul_(rows @ rows.T)
        full = products.view(heads, width, heads, width).sum((1, 3))
    else:
        full = empty_gram(heads, composite)
        by_head = joint.view(-1, heads, width).transpose(0, 1)
        for part in torch.split(by_head, max(1, CHUNK_ELEMENTS // (heads * features)), dim=1):
            accumulate(full, torch.bmm(part, weight_JMH).flatten(1))
    if row is not None:
        scaled = weight_JMH[: len(row)] * row.to(weight_JMH.dtype)[:, None, None]
        torch.mm(joint[:, : len(row) * width], scaled.flatten(0, 1), out=composite)
    return full
