"""How much is in a batch: all that the curves of a run read of it."""

from __future__ import annotations

import torch
from torch import Tensor

from grap_seq.data.sequences import TIME
from grap_seq.training.module import Batch


def events(batch: Batch) -> Tensor:
    """Events of this process's part of a batch, shape ()."""
    return torch.stack([group.seq_lens.sum() for group in batch]).sum()


def cells(batch: Batch) -> Tensor:
    """Cells that hold them, padding included, shape ()."""
    return torch.full_like(events(batch), sum(group.payload[TIME].numel() for group in batch))
