"""One collective a step, so that several processes weigh as one process with the whole batch.

Gradients of a distributed run are means over processes, so the gradient of the whole batch is the
concatenation of g / world: Gram matrices add up, divided by world squared.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch import distributed as dist


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def open_group() -> None:
    """Create the group of this module's collectives; every process must come here together."""
    if world_size() > 1:
        _group(dist.group.WORLD)


@cache
def _group(world: object) -> dist.ProcessGroup:
    # DDP's buckets are on their way while a backward pass runs: in a group of its own, a collective
    # cannot get between them (SyncBatchNorm is the precedent for collectives in a backward pass).
    del world
    group: dist.ProcessGroup = dist.new_group()
    return group


def whole_batch(full: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Statistics of the whole batch from those of this process's part.

    Args:
        full: Gram matrix of this process's gradients, shape (J, J).
        losses: values of this process's losses, shape (J,); NaN where absent.

    Returns:
        The Gram matrix, and every loss's mean over the processes that have it.
    """
    world = world_size()
    if world == 1:
        return full, losses
    known = ~losses.isnan()
    parts = (full.flatten(), losses.nan_to_num(0.0, torch.inf, -torch.inf), known)
    packed = torch.cat([part.to(full.dtype) for part in parts])
    dist.all_reduce(packed, group=_group(dist.group.WORLD))
    size = len(losses)
    sums, counts = packed[-2 * size : -size], packed[-size:]
    return packed[: -2 * size].view_as(full) / world**2, sums / counts
