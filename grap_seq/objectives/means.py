"""The mean of a loss over the whole batch, of which every process has a part."""

from __future__ import annotations

from torch import Tensor

from grap_seq.distributed import summed, world_size


def mean(total: Tensor, count: Tensor) -> Tensor:
    """This process's share of a mean, shape (): zero where no process has an entry.

    Averaged over processes, values and gradients are those of the whole batch. A mean of the
    processes' own means would weigh an entry by how few of its kind its process has.

    Args:
        total: sum over this process's entries, shape ().
        count: their number, shape ().
    """
    return total * world_size() / summed(count).clamp(min=1)
