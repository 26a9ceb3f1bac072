"""Between rectangles (B, T, ...) and the flat list of valid events (N, ...).

The flat list runs rectangle by rectangle, row by row, in time: the event after flat position i is
i + 1 unless i ends its row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor

from grap_seq.data.batch import LABEL_EVENT
from grap_seq.data.sequences import TIME


def flatten(groups: Sequence[PaddedBatch], name: str | None = None) -> Tensor:
    """Valid entries of a payload field (or of a tensor payload), shape (N, ...)."""
    parts = []
    for group in groups:
        payload = group.payload if name is None else group.payload[name]
        parts.append(payload[mask(group)])
    return torch.cat(parts)


def unflatten(values: Tensor, groups: Sequence[PaddedBatch]) -> list[PaddedBatch]:
    """Flat values (N, D) back to rectangles shaped like `groups`, payload (B, T, D)."""
    result = []
    parts = torch.split(values, [int(group.seq_lens.sum()) for group in groups])
    for group, part in zip(groups, parts, strict=True):
        valid = mask(group)
        cells = part.new_zeros(*valid.shape, values.shape[-1])
        cells[valid] = part
        result.append(PaddedBatch(cells, group.seq_lens))
    return result


def mask(group: PaddedBatch) -> Tensor:
    """Valid cells of a rectangle, shape (B, T), boolean."""
    payload = group.payload[TIME] if isinstance(group.payload, dict) else group.payload
    positions = torch.arange(payload.shape[1], device=group.seq_lens.device)
    valid: Tensor = positions < group.seq_lens[:, None]
    return valid


def lengths(groups: Sequence[PaddedBatch]) -> Tensor:
    """Events of every row, shape (rows,)."""
    return torch.cat([group.seq_lens for group in groups])


def last_positions(groups: Sequence[PaddedBatch]) -> Tensor:
    """Flat position of every row's last event, shape (rows,)."""
    return lengths(groups).cumsum(0) - 1


def label_positions(groups: Sequence[PaddedBatch]) -> Tensor:
    """Flat position of every local label's event, shape (labels,)."""
    sizes = torch.stack([group.seq_lens.sum() for group in groups])
    firsts = sizes.cumsum(0) - sizes
    pairs = zip(groups, firsts, strict=True)
    return torch.cat([group.payload[LABEL_EVENT] + first for group, first in pairs])


def time_gaps(groups: Sequence[PaddedBatch], previous: Tensor | None = None) -> Tensor:
    """Time since the previous event of the row, shape (N,), float32.

    The difference is taken in float64: times since 1970 in days need it.

    Args:
        groups: the batch.
        previous: time of the event before every row's first, shape (rows,); None where rows begin
            there: their first gap is zero.
    """
    times = flatten(groups, TIME)
    gaps = torch.zeros_like(times)
    gaps[1:] = times[1:] - times[:-1]
    ends = last_positions(groups)
    starts = torch.cat([ends.new_zeros(1), ends[:-1] + 1])
    gaps[starts] = 0 if previous is None else times[starts] - previous
    return gaps.float()
