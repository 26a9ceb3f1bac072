"""A loss from which nothing can be learned: what does a weighting make of it?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.schema import Schema


class RandomTargets(nn.Module):
    """Mean absolute error of numbers drawn anew for every event and step, as those of a field are.

    Args:
        schema: the data's schema, of which nothing is used.
        width: M, hidden width of the head.
    """

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        del schema
        self.output = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Loss of shape ().

        Args:
            hidden: pre-activations (N, M) of all events.
            batch: the batch.
        """
        del batch
        predicted = self.output(F.relu(hidden)).squeeze(1)
        return F.l1_loss(predicted, torch.randn_like(predicted))
