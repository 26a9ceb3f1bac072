"""The mean of a loss over the whole batch, of which every process has a part."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from grap_seq.distributed import summed, world_size


class Sum(NamedTuple):
    """A sum over this process's entries, before the processes meet.

    Attributes:
        total: the sum, shape ().
        entries: their number, shape (), int64.
    """

    total: Tensor
    entries: Tensor


class Mean(NamedTuple):
    """A mean and the number of its entries, so that means of batches can be added up to an epoch's.

    Attributes:
        loss: this process's share of the mean, shape ().
        entries: of this process; those of all processes add up to the whole batch's, shape ().
    """

    loss: Tensor
    entries: Tensor


def means(*sums: Sum) -> list[Mean]:
    """This process's shares of means: zero where no process has an entry.

    Averaged over processes, values and gradients are those of the whole batch. A mean of the
    processes' own means would weigh an entry by how few of its kind its process has. Their numbers
    of entries are added up at once.
    """
    if not sums:
        return []
    counts = summed(torch.stack([entries for _, entries in sums])).clamp(min=1)
    return [
        Mean(total * world_size() / count, entries)
        for (total, entries), count in zip(sums, counts, strict=True)
    ]
