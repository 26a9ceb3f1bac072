"""The downstream task as GraP sees it: every event of a labelled sequence predicts its label."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.data.sequences import UNLABELLED


class DownstreamHead(nn.Module):
    """Second layer and cross-entropy over all positions of labelled rows."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, classes)

    def forward(self, hidden: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Loss, shape (); zero for a batch without labels.

        Args:
            hidden: pre-activations of all valid positions, shape (N, M).
            labels: class of each row, -1 where unlabelled, shape (R,).
            lengths: events of each row, shape (R,); they add up to N.
        """
        targets = torch.repeat_interleave(labels, lengths)
        logits = self.output(F.relu(hidden))
        total = F.cross_entropy(logits, targets, ignore_index=UNLABELLED, reduction="sum")
        return total / (targets != UNLABELLED).sum().clamp(min=1)
