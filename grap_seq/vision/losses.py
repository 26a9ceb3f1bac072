"""All4One's losses: of neighbours, of their centroids, and of features.

Estepa et al., "All4One: Symbiotic Neighbour Contrastive Learning via Self-Attention and Redundancy
Reduction" (2023), after solo-learn. Each acts as the loss of the whole batch: in several processes
its mean over them is that loss. There every process needs as many rows as the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from grap_seq.distributed import gathered, rank, world_size

# A square root has no finite slope at zero.
SMALLEST = 1e-12


def of_all(rows: Tensor) -> Tensor:
    """Rows (B, ...) of all processes, shape (processes x B, ...); differentiable."""
    return gathered(rows, [len(rows)] * world_size())


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of every row (L, D) with every row (R, D), shape (L, R); float32 under autocast."""
    dtype = torch.promote_types(left.dtype, torch.float32)
    with torch.autocast(left.device.type, enabled=False):
        return F.normalize(left.to(dtype), dim=1) @ F.normalize(right.to(dtype), dim=1).T


def nce(targets: Tensor, predictions: Tensor, temperature: float) -> Tensor:
    """InfoNCE within the batch: each target's own prediction against those of all rows.

    Args:
        targets: t, shape (B, P).
        predictions: p, shape (B, P); those of all processes are compared.
        temperature: T.

    Returns:
        -(1/B) sum_i log softmax_j(cos(t_i, p_j) / T) at j = i, shape ().
    """
    own = torch.arange(len(targets), device=targets.device) + rank() * len(targets)
    return F.cross_entropy(cosines(targets, of_all(predictions)) / temperature, own)


def nnclr(
    target1: Tensor,
    prediction1: Tensor,
    target2: Tensor,
    prediction2: Tensor,
    temperature: float = 0.2,
) -> Tensor:
    """The targets of either view against the predictions of the other, shape ().

    NNCLR's loss, if targets are nearest neighbours of keys; All4One's loss of centroids, if targets
    are centroids R of neighbours and predictions are those S in which the prediction comes first.

    Args:
        target1, prediction1: of view 1, shape (B, P) each.
        target2, prediction2: of view 2.
        temperature: of `nce`.
    """
    first = nce(target1, prediction2, temperature)
    return (first + nce(target2, prediction1, temperature)) / 2


def feature_losses(m1: Tensor, z1: Tensor, m2: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """How far features of two views are from the same, and from independent of each other.

    C1 holds the cosines of m1's columns with z2's, C2 those of m2's with z1's; columns are not
    centred.

    Args:
        m1, m2: keys of the momentum branch by view, shape (B, P).
        z1, z2: projections, shape (B, P).

    Returns:
        Root mean squares over C1 and C2, shape () each: of diagonal - 1; of all entries off it.
    """
    crossed = torch.stack(
        [cosines(of_all(m1).T, of_all(z2).T), cosines(of_all(m2).T, of_all(z1).T)]
    )
    width = crossed.shape[1]
    diagonal = torch.eye(width, dtype=torch.bool, device=crossed.device)
    on = (crossed.diagonal(dim1=1, dim2=2) - 1).square().mean()
    off = crossed.masked_fill(diagonal, 0).square().sum() / (2 * width * (width - 1))
    return on.clamp(min=SMALLEST).sqrt(), off.clamp(min=SMALLEST).sqrt()
