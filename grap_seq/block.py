"""Many small tensors in one piece of memory: one copy to a device in the place of dozens.

A copy to a GPU has a price of its own, and only one from pinned memory can be on its way while the
host goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

# Bytes; every dtype may begin there, and a vector instruction too.
ALIGNMENT = 64


Moved = TypeVar("Moved", bound="Movable")


class Movable(ABC):
    """Something that is made of tensors and goes from device to device as one block."""

    @abstractmethod
    def mapped(self: Moved, change: Callable[[Tensor], Tensor]) -> Moved:
        """The same of changed tensors, which are asked for in an order that stays the same."""

    def tensors(self) -> list[Tensor]:
        """All of them."""
        found: list[Tensor] = []

        def noted(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.mapped(noted)
        return found

    def to(self: Moved, device: Any, non_blocking: bool = False) -> Moved:
        """The same on a device; as `Tensor.to`, it is asynchronous from pinned memory alone."""
        if all(tensor.device == torch.device(device) for tensor in self.tensors()):
            return self
        return self._through(lambda block: block.to(device, non_blocking=non_blocking))

    def pin_memory(self: Moved) -> Moved:
        """The same in memory that a GPU can read by itself."""
        return self._through(Tensor.pin_memory)

    def sent(self: Moved, device: torch.device) -> Moved:
        """What the host has just made, on a device, without waiting for it."""
        return self if device.type == "cpu" else self.pin_memory().to(device, non_blocking=True)

    def _through(self: Moved, change: Callable[[Tensor], Tensor]) -> Moved:
        tensors = self.tensors()
        if not tensors:
            return self
        views = split(change(joined(tensors)), tensors)
        return self.mapped(lambda tensor: next(views))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for it."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """A block with the bytes of all tensors, uint8; `split` takes it apart again.

    Where they are views of such a block already, it is that one.
    """
    starts, size = _places(tensors)
    first = tensors[0]
    block = torch.empty(0, dtype=torch.uint8, device=first.device)
    if _are_joined(tensors, starts, size):
        return block.set_(first.untyped_storage())
    block = block.new_empty(size)
    for start, tensor in zip(starts, tensors, strict=True):
        _part(block, start, tensor).copy_(tensor)
    return block


def split(block: Tensor, like: Sequence[Tensor]) -> Iterator[Tensor]:
    """Views of a block with the shapes and dtypes of the tensors that it was made of."""
    starts, _ = _places(like)
    for start, tensor in zip(starts, like, strict=True):
        yield _part(block, start, tensor)


def _part(block: Tensor, start: int, like: Tensor) -> Tensor:
    part = block[start : start + like.numel() * like.itemsize]
    return part.view(like.dtype).view(like.shape)


def _are_joined(tensors: Sequence[Tensor], starts: Sequence[int], size: int) -> bool:
    storage = tensors[0].untyped_storage()
    return storage.nbytes() == size and all(
        # One storage has one wrapper in Python for each tensor.
        tensor.untyped_storage()._cdata == storage._cdata
        and tensor.storage_offset() * tensor.itemsize == start
        and tensor.is_contiguous()
        for tensor, start in zip(tensors, starts, strict=True)
    )


def _places(tensors: Sequence[Tensor]) -> tuple[list[int], int]:
    """Where each tensor begins, and the size of all, in bytes."""
    starts, size = [], 0
    for tensor in tensors:
        starts.append(size)
        size += -(-tensor.numel() * tensor.itemsize // ALIGNMENT) * ALIGNMENT
    return starts, size
