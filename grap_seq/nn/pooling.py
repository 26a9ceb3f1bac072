"""One vector per sequence from the states of its events."""

from __future__ import annotations

from collections.abc import Callable

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor

from grap_seq.nn.positions import mask


def _last(states: PaddedBatch) -> Tensor:
    rows = torch.arange(len(states), device=states.device)
    result: Tensor = states.payload[rows, states.seq_lens - 1]
    return result


def _mean(states: PaddedBatch) -> Tensor:
    valid = mask(states)[:, :, None]
    total: Tensor = torch.where(valid, states.payload, 0.0).sum(1)
    count: Tensor = states.seq_lens[:, None]
    return total / count


def _max(states: PaddedBatch) -> Tensor:
    valid = mask(states)[:, :, None]
    return torch.where(valid, states.payload, -torch.inf).amax(1)


POOLINGS: dict[str, tuple[Callable[[PaddedBatch], Tensor], ...]] = {
    "last": (_last,),
    "mean": (_mean,),
    "max": (_max,),
    "last_mean_max": (_last, _mean, _max),
}


def pool(states: PaddedBatch, pooling: str, last: Tensor | None = None) -> Tensor:
    """States (B, T, H) to embeddings (B, H), or (B, 3H) for "last_mean_max".

    "last" is the paper's; the others summarise all events of a sequence.

    Args:
        states: of every event.
        pooling: a key of `POOLINGS`.
        last: what the encoder gives in the place of the last state, shape (B, H), where it does.
    """
    parts = [
        last if part is _last and last is not None else part(states) for part in POOLINGS[pooling]
    ]
    return torch.cat(parts, dim=1)
