"""Whether a training step fits into memory: said before training, and where it did not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import torch

from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from grap_seq.training.memory_estimate import Sizes

# Share of a device's memory that the tensors of a step may take. The rest is for what the formula
# leaves out: a GPU's context and libraries, gaps between the allocator's blocks, its own error.
ROOM = 0.8


def before_training(
    sizes: Sizes, batches: EpochBatches, device: torch.device, pretrained: bool = False
) -> Iterator[str]:
    """Sentences about the largest batch of an epoch.

    Args:
        sizes: of the module.
        batches: of the epoch.
        device: where training is.
        pretrained: as of `remedies`.
    """
    step = batches.largest()
    needed = sizes.bytes(batches.sizes(step), device.type)
    memory = total_memory(device)
    yield f"A step takes about {amount(needed)} of {amount(memory)}."
    if needed > ROOM * memory:
        remedy = remedies(sizes, batches, step, device, pretrained)
        yield f"Warning: that will probably not fit. {remedy}"


def remedies(
    sizes: Sizes,
    batches: EpochBatches,
    step: int,
    device: torch.device,
    pretrained: bool = False,
) -> str:
    """What a batch takes, and what it would with half of each setting that decides about it.

    Args:
        sizes: of the module.
        batches: of the epoch.
        step: number of the batch.
        device: where training is.
        pretrained: whether the model is a run's, so that its width and its crops stay as they are.
    """
    whole = batches.sizes(step)
    half = max(1, batches.batch_size // 2)
    each = {f"batch_size={half}": (sizes, whole[: -(-len(whole) // 2)])}
    if not pretrained:
        crops, policy = shorter(batches.policy)
        narrow = sizes.narrower()
        each[crops] = sizes, batches.cut_by(policy).sizes(step)
        each[f"encoder.hidden={narrow.hidden}"] = narrow, whole
    said = (
        f"{key} for {amount(halved.bytes(lengths, device.type))}"
        for key, (halved, lengths) in each.items()
    )
    return f"The batch takes about {amount(sizes.bytes(whole, device.type))}; set {', '.join(said)}"


def shorter(policy: CropPolicy) -> tuple[str, CropPolicy]:
    """Half of the setting that decides how long crops are, as one types it, and what it makes."""
    if policy.view_max > 1 and not policy.window:
        # Views of so many events are as long in a shorter window.
        most = max(policy.view_min, policy.view_max // 2)
        return f"dataset.crops.view_max={most:g}", replace(policy, view_max=most)
    longest = max(2, policy.max_length // 2)
    shortest = None if policy.min_length is None else min(policy.min_length, longest)
    changed = replace(policy, max_length=longest, min_length=shortest)
    return f"dataset.crops.max_length={longest}", changed


def total_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def amount(size: float) -> str:
    """Bytes as text, such as 3.1 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.0f} MB"
