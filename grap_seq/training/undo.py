"""What an update has changed before it is refused, and how that is undone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Undo:
    """Copies of a module's buffers, to go back to when an update is refused.

    Batch norm's running statistics, loss weights and what these are learned from change in the
    forward and backward passes, before anyone can know that the update will be refused.

    Args:
        module: whose buffers they are, those of its parts included.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.copies: dict[str, Tensor] = {}

    @torch.no_grad()
    def keep(self) -> None:
        """Copy the buffers as they are before the first batch of an update."""
        buffers = dict(self.module.named_buffers())
        if self.copies.keys() != buffers.keys():
            self.copies = {name: torch.empty_like(buffer) for name, buffer in buffers.items()}
        # What optimisers copy with: one call for all of them.
        torch._foreach_copy_(list(self.copies.values()), list(buffers.values()))

    @torch.no_grad()
    def restore(self) -> None:
        """Give the buffers the values that they had then."""
        buffers = dict(self.module.named_buffers())
        for name, copied in self.copies.items():
            buffers[name].copy_(copied)
