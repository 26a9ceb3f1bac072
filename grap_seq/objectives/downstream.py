"""The downstream task as GraP sees it: every event of a labelled sequence predicts its label.

Of several labels a sequence, each is predicted by the one event that it belongs to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.data.labels import UNLABELLED
from grap_seq.objectives.means import mean


class DownstreamHead(nn.Module):
    """Second layer and cross-entropy over labelled positions."""

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
        return self.loss(hidden, torch.repeat_interleave(labels, lengths))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Loss, shape (), of pre-activations (N, M) for targets (N,), -1 where there is none."""
        logits = self.output(F.relu(hidden))
        total = F.cross_entropy(logits, targets, ignore_index=UNLABELLED, reduction="sum")
        return mean(total, (targets != UNLABELLED).sum())
