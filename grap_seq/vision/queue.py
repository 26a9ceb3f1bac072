"""Earlier keys of the momentum branch, among which a key finds its nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NeighbourQueue(nn.Module):
    """The last Q keys, first in, first out; at the start random ones of torch's generator.

    Enqueue when an update is known to be accepted: `Undo` makes no copy of these buffers.
    In several processes every one of them has the whole queue, if all of them start with the same
    random numbers and enqueue the keys of all.

    Args:
        size: Q.
        width: P, of a key.
    """

    changed_after_updates = ("keys", "pointer")
    keys: Tensor  # (Q, P), L2-normalised
    pointer: Tensor  # () int64, row of the oldest key

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def nearest(self, keys: Tensor, k: int) -> Tensor:
        """The k queued keys with the largest dot product, nearest first, shape (B, k, P).

        Args:
            keys: shape (B, P).
            k: at most Q.

        Raises:
            ValueError: the queue has fewer than k.
        """
        if k > len(self.keys):
            raise ValueError(f"a queue of {len(self.keys)} keys has no {k} neighbours; enlarge it")
        return self.keys[(keys.to(self.keys) @ self.keys.T).topk(k, dim=1).indices]

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (B, P) in the place of the B oldest.

        Raises:
            ValueError: B is larger than Q.
        """
        size = len(self.keys)
        if len(keys) > size:
            raise ValueError(
                f"a batch of {len(keys)} keys does not fit into a queue of {size}; enlarge it"
            )
        # No host waits for the pointer.
        rows = (self.pointer + torch.arange(len(keys), device=self.keys.device)) % size
        self.keys.index_copy_(0, rows, keys.to(self.keys))
        self.pointer.add_(len(keys)).remainder_(size)
