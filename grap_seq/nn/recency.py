"""How long ago a row's last event was, when it was last observed: two columns of an embedding.

No state can know it, since nothing happens after the last event; and on data where people leave, it
says more than all events.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Columns.
RECENCY = 2


def recency(first: Tensor, latest: Tensor, events: Tensor, until: Tensor, typical: float) -> Tensor:
    """ln(1 + g / typical) and ln(1 + g / own) for the final gap g = until - latest, shape (R, 2).

    `own` is the mean of a row's gaps and one typical gap: it is never zero, and of a row with one
    event it is the typical gap.

    Args:
        first: time of every row's first event, shape (R,), float64.
        latest: time of its last one, shape (R,), float64.
        events: their number, shape (R,).
        until: up to when the row was observed, shape (R,), float64.
        typical: typical gap of the data, above zero.
    """
    final = until - latest
    own = (latest - first + typical) / events
    return torch.stack([torch.log1p(final / typical), torch.log1p(final / own)], dim=1).float()
