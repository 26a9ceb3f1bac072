"""CoLES: sub-sequences of one sequence lie close together, those of others apart.

Babaev et al., "CoLES: Contrastive Learning for Event Sequences with Self-Supervision" (2022), with
the contrastive loss and hard negatives of pytorch-lifestream. Two differences: the loss is a mean
per pair by default (as a sum its gradient drowns the next-event losses), and positives are never
taken as negatives when a batch has fewer negatives than `negatives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.distributed import gathered, world_size
from grap_seq.layout import Lengths
from grap_seq.objectives.means import Mean

Reduction = Literal["mean", "sum"]


class ContrastiveLoss(nn.Module):
    """d^2 over all pairs of one owner plus max(0, margin - d)^2 over each row's nearest others.

    Of several processes each computes the loss of all their rows: hard negatives are those of the
    whole batch.

    Args:
        margin: negatives farther than this cost nothing.
        negatives: nearest rows of other owners taken for each row.
        reduction: "mean" over pairs or "sum".

    Raises:
        ValueError: another reduction.
    """

    def __init__(
        self, margin: float = 0.5, negatives: int = 5, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ValueError(f"coles_reduction={reduction}: choose mean or sum")
        self.margin, self.negatives, self.reduction = margin, negatives, reduction

    def forward(self, embeddings: Tensor, owners: Tensor, known: Sequence[Lengths]) -> Mean:
        """The loss, zero for a batch without any pair; and the number of pairs, 1 for a sum.

        Args:
            embeddings: this process's L2-normalised rows, shape (R, E).
            owners: which sequence of the whole batch a row belongs to, shape (R,).
            known: the same of every process's rows, in any order, where the host can read it
                without waiting for a device.
        """
        counts = [len(part) for part in known]
        sizes = np.unique(np.concatenate(known), return_counts=True)[1]
        rows = sum(counts)
        positives = int((sizes * (sizes - 1) // 2).sum())
        negatives = int((sizes * np.minimum(self.negatives, rows - sizes)).sum())
        rows_of_all = gathered(embeddings, counts), gathered(owners, counts)
        total = self.total(*rows_of_all, positives, negatives)
        pairs = positives + negatives
        count = torch.full((), pairs if self.reduction == "mean" else 1, device=total.device)
        # Processes share the entries of a mean that every one of them has computed.
        entries = count / world_size()
        return Mean(total if self.reduction == "sum" else total / max(1, pairs), entries)

    def compile_parts(self, **options: Any) -> None:
        """Compile what comes behind the meeting of processes; options of `torch.compile`."""
        self.total = torch.compile(self.total, **options)  # type: ignore[method-assign]

    def total(self, embeddings: Tensor, owners: Tensor, positives: int, negatives: int) -> Tensor:
        """The sum over all pairs, shape (), of which the host knows the numbers."""
        same = owners[:, None] == owners[None, :]
        left, right = torch.triu(same, diagonal=1).nonzero_static(size=positives).unbind(1)
        positive = F.pairwise_distance(embeddings[left], embeddings[right]).square()
        with torch.no_grad():
            distances = torch.cdist(embeddings, embeddings).masked_fill(same, torch.inf)
            taken = min(self.negatives, len(owners))
            nearest, columns = distances.topk(taken, dim=1, largest=False)
            row, place = nearest.isfinite().nonzero_static(size=negatives).unbind(1)
            other = columns[row, place]
        distance = F.pairwise_distance(embeddings[row], embeddings[other])
        negative = F.relu(self.margin - distance).square()
        return positive.sum() + negative.sum()


class ColesHead(nn.Module):
    """Second layer, L2 norm and contrastive loss on the last state of every sub-sequence.

    Args:
        width: M, width of the hidden layer.
        size: E, that of what is contrasted.
        options: of `ContrastiveLoss`.
    """

    def __init__(self, width: int, size: int = 128, **options: Any) -> None:
        super().__init__()
        self.output, self.contrast = nn.Linear(width, size), ContrastiveLoss(**options)

    def forward(self, hidden: Tensor, owners: Tensor, known: Sequence[Lengths]) -> Mean:
        """The loss from hidden pre-activations (R, M); the others as of `ContrastiveLoss`."""
        found: Mean = self.contrast(self.embeddings(hidden), owners, known)
        return found

    def compile_parts(self, **options: Any) -> None:
        """Compile what comes before and behind the meeting of processes."""
        self.embeddings = torch.compile(self.embeddings, **options)  # type: ignore[method-assign]
        self.contrast.compile_parts(**options)

    def embeddings(self, hidden: Tensor) -> Tensor:
        """What is contrasted, shape (R, E), float32."""
        return F.normalize(self.output(F.relu(hidden)).float(), dim=1)
