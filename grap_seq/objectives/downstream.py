"""The downstream task as GraP sees it: every event of a labelled sequence predicts its label.

Of several labels a sequence, each is predicted by the one event that it belongs to.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.objectives.means import Sum
from grap_seq.schema import UNLABELLED, Label


class DownstreamHead(nn.Module):
    """Second layer and loss over labelled positions."""

    def __init__(self, width: int, label: Label) -> None:
        super().__init__()
        self.label, self.output = label, nn.Linear(width, label.outputs)

    def forward(self, hidden: Tensor, targets: Tensor) -> Sum:
        """Sum of the loss over labelled positions.

        Args:
            hidden: pre-activations, shape (N, M).
            targets: code of each position's label, shape (N,).
        """
        return label_sum(self.label, self.output(F.relu(hidden)), targets)


def label_sum(label: Label, outputs: Tensor, codes: Tensor) -> Sum:
    """Cross-entropy of classes, squared error of a standardised number; where there is a label.

    Args:
        label: the label.
        outputs: logits of the classes, or the number, shape (N, label.outputs).
        codes: codes of the label, shape (N,).
    """
    known = label.known(codes)
    if label.classes:
        total = F.cross_entropy(outputs, codes, ignore_index=UNLABELLED, reduction="sum")
    else:
        errors = outputs.squeeze(1).float() - codes.nan_to_num()
        total = (errors.square() * known).sum()
    return Sum(total, known.sum())
