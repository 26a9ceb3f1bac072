"""One collective a step, so that several processes weigh as one process with the whole batch.

Gradients of a distributed run are means over processes, so the gradient of the whole batch is the
concatenation of g / world: Gram matrices add up, divided by world squared. Gradients of parameters
are means themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

from grap_seq.distributed import group, world_size


def open_group() -> None:
    """Create the collective's group; every process must come here together."""
    if world_size() > 1:
        group()


def whole_batch(full: Tensor, losses: Tensor, degree: int = 2) -> tuple[Tensor, Tensor]:
    """Statistics of the whole batch from those of this process's part.

    Args:
        full: Gram matrix of this process's gradients, shape (J, J); or gradients of parameters.
        losses: values of this process's losses, shape (J,); NaN where absent.
        degree: 2 of a Gram matrix, 1 of gradients.

    Returns:
        The Gram matrix or gradients, and every loss's mean over the processes that have it.
    """
    world = world_size()
    if world == 1:
        return full, losses
    known = ~losses.isnan()
    vectors = (full.flatten(), losses.nan_to_num(0.0, torch.inf, -torch.inf), known)
    packed = torch.cat([vector.to(full.dtype) for vector in vectors])
    dist.all_reduce(packed, group=group())
    size = len(losses)
    sums, counts = packed[-2 * size : -size], packed[-size:]
    return packed[: -2 * size].view_as(full) / world**degree, sums / counts
