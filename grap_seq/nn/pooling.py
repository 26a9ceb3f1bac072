"""One vector per row from the states of its events."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from grap_seq.layout import Layout


def _last(states: Tensor, last: Tensor, layout: Layout) -> Tensor:
    return last


def _mean(states: Tensor, last: Tensor, layout: Layout) -> Tensor:
    mean: Tensor = torch.segment_reduce(states, "mean", lengths=layout.lengths, unsafe=True)
    return mean


def _max(states: Tensor, last: Tensor, layout: Layout) -> Tensor:
    largest: Tensor = torch.segment_reduce(states, "max", lengths=layout.lengths, unsafe=True)
    return largest


POOLINGS: dict[str, tuple[Callable[[Tensor, Tensor, Layout], Tensor], ...]] = {
    "last": (_last,),
    "mean": (_mean,),
    "max": (_max,),
    "last_mean_max": (_last, _mean, _max),
}


def pool(states: Tensor, last: Tensor, layout: Layout, pooling: str) -> Tensor:
    """States (N, H) to embeddings (R, H), or (R, 3H) for "last_mean_max".

    "last" is the paper's; the others summarise all events of a row.

    Args:
        states: of every event.
        last: what stands for the last state of every row, shape (R, H).
        layout: the rows.
        pooling: a key of `POOLINGS`.
    """
    return torch.cat([reduce(states, last, layout) for reduce in POOLINGS[pooling]], dim=1)
