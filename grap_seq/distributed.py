"""Sums and rows of several processes that train one model, each on its part of every batch.

Gradients of a distributed run are means over processes. A loss that is to act as the whole batch's
must therefore have that loss as its mean over processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

T = TypeVar("T")


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process among them; the first one, 0, owns the run folder."""
    return dist.get_rank() if world_size() > 1 else 0


def from_first(value: T) -> T:
    """What the first process gives, pickled, in all of them; every process comes here."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def group() -> dist.ProcessGroup:
    """The group of our own collectives; the first time, every process must come here together."""
    return _group(dist.group.WORLD)


@cache
def _group(world: object) -> dist.ProcessGroup:
    # DDP's buckets are on their way while a backward pass runs: in a group of its own, a collective
    # cannot get between them (SyncBatchNorm is the precedent for collectives in a backward pass).
    del world
    created: dist.ProcessGroup = dist.new_group()
    return created


def leave() -> None:
    """Close the connections to the other processes, before the interpreter takes them apart."""
    _group.cache_clear()
    dist.destroy_process_group()


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group())
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        del ctx
        # Every process's loss depends on every process's values.
        total: Tensor = _Summed.apply(grad)  # type: ignore[no-untyped-call]
        return total


def summed(values: Tensor) -> Tensor:
    """Sum over processes of a tensor that has one shape in all of them; differentiable."""
    if world_size() == 1:
        return values
    # torch declares Function.apply without types.
    total: Tensor = _Summed.apply(values)  # type: ignore[no-untyped-call]
    return total


def gathered(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows (R, ...) of all processes in the order of their ranks; differentiable.

    Args:
        rows: of this process.
        counts: how many every process has, which may be none. Processes know that of each other:
            asking would make the host wait for the device.
    """
    if world_size() == 1:
        return rows
    rank = dist.get_rank()
    assert len(counts) == world_size()
    assert counts[rank] == len(rows)
    behind = [0, 0] * (rows.dim() - 1)
    return summed(F.pad(rows, (*behind, sum(counts[:rank]), sum(counts[rank + 1 :]))))
