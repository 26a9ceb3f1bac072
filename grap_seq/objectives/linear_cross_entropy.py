"""Cross-entropy over many classes without all logits at once.

Logits of 100,000 events and 10,000 classes take 4 GB, three times over with their gradients. Beyond
a size torch's chunked form makes them for a few events at a time, and the gradients with them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import LinearCrossEntropyOptions

# So many logits are made at once. On a CPU both ways then take the same time (16 MB of float32); a
# GPU has the memory, and chunks keep it less busy.
LARGEST = {"cpu": 1 << 22}
LARGEST_ELSEWHERE = 1 << 26


def in_chunks(hidden: Tensor, output: nn.Linear) -> bool:
    """Whether the logits are too many to be made at once; chunks cannot be compiled for any N."""
    largest = LARGEST.get(hidden.device.type, LARGEST_ELSEWHERE)
    return len(hidden) * output.out_features > largest


def cross_entropy_sum(
    hidden: Tensor, output: nn.Linear, targets: Tensor, ignored: int, most: int | None = None
) -> Tensor:
    """Sum of the cross-entropies of `output(hidden)`; zero if all targets are ignored.

    In chunks the loss and its gradients are float32 where the parameters are, autocast or not, and
    have no second derivative.

    Args:
        hidden: (N, M).
        output: the layer that makes logits, M to C.
        targets: classes, (N,), int64.
        ignored: the target of events that do not count.
        most: how many events count at most; so many go through the products. None: all.

    Returns:
        The sum, shape ().
    """
    if not in_chunks(hidden, output):
        return F.cross_entropy(output(hidden), targets, ignore_index=ignored, reduction="sum")
    counted, most = targets != ignored, len(targets) if most is None else most
    # With a size that the host knows it need not wait for a device; the rest is the first event.
    places = counted.nonzero_static(size=most, fill_value=0).squeeze(1)
    there = torch.arange(most, device=targets.device) < counted.sum()
    hidden = hidden.index_select(0, places)
    targets = torch.where(there, targets.index_select(0, places), ignored)
    with torch.autocast(hidden.device.type, enabled=False):
        total: Tensor = F.linear_cross_entropy(
            # The loss has the dtype of its input: thousands of terms are too many for bfloat16.
            hidden.to(output.weight.dtype),
            output.weight,
            targets,
            linear_bias=output.bias,
            reduction="sum",
            ignore_index=ignored,
            options=LinearCrossEntropyOptions(allow_retain_graph=True),
        )
    return total
