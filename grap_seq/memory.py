"""Running out of memory, on a CPU and on a GPU."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU's allocator has no class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
