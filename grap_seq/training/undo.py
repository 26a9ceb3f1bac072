"""What an update has changed before it is refused, and how that is undone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Undo:
    """Copies of a module's buffers, to go back to when an update is refused.

    Batch norm's running statistics, loss weights and what these are learned from change in the
    forward and backward passes, before anyone can know that the update will be refused. A part
    with large buffers that change later than that names them in `changed_after_updates`, and saves
    their copy.

    Args:
        module: whose buffers they are, those of its parts included.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.copies: dict[str, Tensor] = {}

    @torch.no_grad()
    def keep(self) -> None:
        """Copy the buffers as they are before the first batch of an update."""
        buffers = self._buffers()
        if self.copies.keys() != buffers.keys():
            self.copies = {name: torch.empty_like(buffer) for name, buffer in buffers.items()}
        # What optimisers copy with: one call for all of them.
        torch._foreach_copy_(list(self.copies.values()), list(buffers.values()))

    @torch.no_grad()
    def restore(self) -> None:
        """Give the buffers the values that they had then."""
        buffers = self._buffers()
        for name, copied in self.copies.items():
            buffers[name].copy_(copied)

    def _buffers(self) -> dict[str, Tensor]:
        """Buffers that an update changes before it is accepted, by name."""
        later = {
            id(getattr(part, name))
            for part in self.module.modules()
            for name in getattr(part, "changed_after_updates", ())
        }
        return {name: b for name, b in self.module.named_buffers() if id(b) not in later}
