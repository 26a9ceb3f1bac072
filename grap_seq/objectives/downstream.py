"""The downstream task as GraP sees it: every event of a labelled sequence predicts its label.

Of several labels a sequence, each is predicted by the one event that it belongs to.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.objectives.means import Mean, mean
from grap_seq.schema import UNLABELLED


class DownstreamHead(nn.Module):
    """Second layer and cross-entropy over labelled positions."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, classes)

    def forward(self, hidden: Tensor, targets: Tensor) -> Mean:
        """Loss, shape (), zero for a batch without labels; and the number of labelled positions.

        Args:
            hidden: pre-activations, shape (N, M).
            targets: class of each position, -1 where unlabelled, shape (N,).
        """
        logits = self.output(F.relu(hidden))
        total = F.cross_entropy(logits, targets, ignore_index=UNLABELLED, reduction="sum")
        return mean(total, (targets != UNLABELLED).sum())
