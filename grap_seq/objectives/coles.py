"""CoLES: sub-sequences of one sequence lie close together, those of others apart.

Babaev et al., "CoLES: Contrastive Learning for Event Sequences with Self-Supervision" (2022), with
the contrastive loss and hard negatives of pytorch-lifestream. Two differences: the loss is a mean
per pair by default (as a sum its gradient drowns the next-event losses), and positives are never
taken as negatives when a batch has fewer negatives than `negatives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.distributed import gathered, world_size
from grap_seq.layout import Lengths
from grap_seq.objectives.means import Mean

Reduction = Literal["mean", "sum"]


def contrastive_loss(
    embeddings: Tensor,
    owners: Tensor,
    margin: float = 0.5,
    negatives: int = 5,
    reduction: Reduction = "mean",
    sizes: Lengths | None = None,
) -> Mean:
    """d^2 over all pairs of one owner plus max(0, margin - d)^2 over each row's nearest others.

    Args:
        embeddings: L2-normalised rows, shape (R, E).
        owners: which sequence a row belongs to, shape (R,).
        margin: negatives farther than this cost nothing.
        negatives: nearest rows of other owners taken for each row.
        reduction: "mean" over pairs or "sum".
        sizes: rows of every owner, shape (owners,); None: they are counted, for which the host
            waits.

    Returns:
        The loss, shape (), zero for a batch without any pair; and the number of pairs, 1 for a sum.
    """
    if sizes is None:
        sizes = np.unique(owners.cpu().numpy(), return_counts=True)[1]
    rows, taken = len(owners), min(negatives, len(owners))
    positives = int((sizes * (sizes - 1) // 2).sum())
    existing = int((sizes * np.minimum(taken, rows - sizes)).sum())
    same = owners[:, None] == owners[None, :]
    left, right = torch.triu(same, diagonal=1).nonzero_static(size=positives).unbind(1)
    positive = F.pairwise_distance(embeddings[left], embeddings[right]).square()
    with torch.no_grad():
        distances = torch.cdist(embeddings, embeddings).masked_fill(same, torch.inf)
        nearest, columns = distances.topk(taken, dim=1, largest=False)
        row, place = nearest.isfinite().nonzero_static(size=existing).unbind(1)
        other = columns[row, place]
    distance = F.pairwise_distance(embeddings[row], embeddings[other])
    negative = F.relu(margin - distance).square()
    total, pairs = positive.sum() + negative.sum(), positives + existing
    count = torch.full((), pairs if reduction == "mean" else 1, device=total.device)
    return Mean(total if reduction == "sum" else total / max(1, pairs), count)


def contrastive_loss_of_all(
    embeddings: Tensor,
    owners: Tensor,
    known: Sequence[Lengths],
    margin: float,
    negatives: int,
    reduction: Reduction,
) -> Mean:
    """`contrastive_loss` of all processes' rows, which each of them computes.

    Args:
        embeddings: this process's rows, shape (R, E).
        owners: which sequence of the whole batch they belong to, shape (R,).
        known: the same of every process's rows, in any order, as the host has it.
        margin: see `contrastive_loss`, as `negatives` and `reduction`.
    """
    counts = [len(part) for part in known]
    found = contrastive_loss(
        gathered(embeddings, counts),
        gathered(owners, counts),
        margin,
        negatives,
        reduction,
        np.unique(np.concatenate(known), return_counts=True)[1],
    )
    # Processes share the entries of a mean that every one of them has computed.
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

    def forward(self, hidden: Tensor, owners: Tensor, known: Sequence[Lengths]) -> Mean:
        """Loss, shape (), from the last hidden pre-activations (R, M) and owners (R,).

        Of several processes each computes the loss of all their rows: hard negatives are those of
        the whole batch. Owners are numbered across processes; `known` are those of every process,
        see `grap_seq.batch.Batch.view_owners`.
        """
        embeddings = F.normalize(self.output(F.relu(hidden)).float(), dim=1)
        return contrastive_loss_of_all(
            embeddings, owners, known, self.margin, self.negatives, self.reduction
        )
