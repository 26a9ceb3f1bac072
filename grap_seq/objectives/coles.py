"""CoLES: sub-sequences of one sequence lie close together, those of others apart.

Babaev et al., "CoLES: Contrastive Learning for Event Sequences with Self-Supervision" (2022), with
the contrastive loss and hard negatives of pytorch-lifestream. Two differences: the loss is a mean
per pair by default (as a sum its gradient drowns the next-event losses), and positives are never
taken as negatives when a batch has fewer negatives than `negatives`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.distributed import gathered, world_size
from grap_seq.objectives.means import Mean

Reduction = Literal["mean", "sum"]


def contrastive_loss(
    embeddings: Tensor,
    owners: Tensor,
    margin: float = 0.5,
    negatives: int = 5,
    reduction: Reduction = "mean",
) -> Mean:
    """d^2 over all pairs of one owner plus max(0, margin - d)^2 over each row's nearest others.

    Args:
        embeddings: L2-normalised rows, shape (R, E).
        owners: which sequence a row belongs to, shape (R,).
        margin: negatives farther than this cost nothing.
        negatives: nearest rows of other owners taken for each row.
        reduction: "mean" over pairs or "sum".

    Returns:
        The loss, shape (), zero for a batch without any pair; and the number of pairs, 1 for a sum.
    """
    same = owners[:, None] == owners[None, :]
    left, right = torch.triu(same, diagonal=1).nonzero(as_tuple=True)
    positive = F.pairwise_distance(embeddings[left], embeddings[right]).square()
    with torch.no_grad():
        distances = torch.cdist(embeddings, embeddings).masked_fill(same, torch.inf)
        nearest, columns = distances.topk(min(negatives, len(owners)), dim=1, largest=False)
        rows = torch.arange(len(owners), device=owners.device)[:, None].expand_as(columns)
        exists = nearest.isfinite()
    distance = F.pairwise_distance(embeddings[rows[exists]], embeddings[columns[exists]])
    negative = F.relu(margin - distance).square()
    total, pairs = positive.sum() + negative.sum(), len(positive) + len(negative)
    count = torch.full((), pairs if reduction == "mean" else 1, device=total.device)
    return Mean(total if reduction == "sum" else total / max(1, pairs), count)


def in_each_process(found: Mean) -> Mean:
    """A mean that every process has computed of the whole batch, whose entries they share."""
    return Mean(found.loss, found.entries / world_size())


def check_reduction(reduction: str) -> None:
    """Refuse an unknown reduction.

    Raises:
        ValueError: it is neither mean nor sum.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"coles_reduction={reduction}: choose mean or sum")


class ColesHead(nn.Module):
    """Second layer, L2 norm and contrastive loss on the last state of every sub-sequence."""

    def __init__(
        self,
        width: int,
        size: int = 128,
        margin: float = 0.5,
        negatives: int = 5,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        self.output = nn.Linear(width, size)
        self.margin, self.negatives, self.reduction = margin, negatives, reduction

    def forward(self, hidden: Tensor, owners: Tensor) -> Mean:
        """Loss, shape (), from the last hidden pre-activations (R, M) and owners (R,).

        Of several processes each computes the loss of all their rows: hard negatives are those of
        the whole batch. Owners must be numbered across processes.
        """
        embeddings = gathered(F.normalize(self.output(F.relu(hidden)).float(), dim=1))
        return in_each_process(
            contrastive_loss(
                embeddings, gathered(owners), self.margin, self.negatives, self.reduction
            )
        )
