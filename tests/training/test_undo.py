"""What a refused update takes back, and what it need not."""

from __future__ import annotations

import torch
from torch import nn

from grap_seq.training.undo import Undo
from grap_seq.vision.queue import NeighbourQueue


def test_buffers_that_change_after_updates_are_neither_copied_nor_restored() -> None:
    torch.manual_seed(0)
    norm, queue = nn.BatchNorm1d(4), NeighbourQueue(9, 4)
    undo = Undo(nn.ModuleDict({"norm": norm, "queues": nn.ModuleList([queue])}))
    undo.keep()
    assert undo.copies.keys() == {
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    norm(torch.randn(6, 4))
    assert norm.num_batches_tracked == 1
    undo.restore()
    assert norm.num_batches_tracked == 0
    assert norm.running_mean is not None
    assert not norm.running_mean.any()

    batch = torch.randn(2, 4)
    queue.enqueue(batch)
    undo.restore()
    assert torch.equal(queue.keys[:2], batch)
    assert queue.pointer == 2
