"""The mean of a loss over the whole batch, of which every process has a part."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from grap_seq.distributed import summed, world_size


class Mean(NamedTuple):
    """A mean and the number of its entries, so that means of batches can be added up to an epoch's.

    Attributes:
        loss: this process's share of the mean, shape ().
        entries: of this process; those of all processes add up to the whole batch's, shape ().
    """

    loss: Tensor
    entries: Tensor


def mean(total: Tensor, count: Tensor) -> Mean:
    """This process's share of a mean: zero where no process has an entry.

    Averaged over processes, values and gradients are those of the whole batch. A mean of the
    processes' own means would weigh an entry by how few of its kind its process has.

    Args:
        total: sum over this process's entries, shape ().
        count: their number, shape ().
    """
    return Mean(total * world_size() / summed(count).clamp(min=1), count)
