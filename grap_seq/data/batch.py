"""Crops to padded batches in which hardly a cell is padding.

Crops of one training batch differ in length by design (CoLES draws 0.1 to 0.9 of a sequence), and
one rectangle for all of them would be half padding. They are therefore sorted and cut into a few
rectangles, `PaddedBatch`es of pytorch-lifestream, each at most `max_padding` padding.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
import torch
from ptls.data_load.padded_batch import PaddedBatch

from grap_seq.data.labels import LABEL
from grap_seq.data.sequences import TIME, Sequences

# Two underscores: no column of a dataset may have such a name.
OWNER, LABEL_EVENT, WINDOW = "__owner", "__label_event", "__window"


@dataclass(frozen=True)
class Crop:
    """Events start..stop of a row; `owner` numbers the sequences of a batch.

    `label` is one of several labels of the row, chosen for the crop as a whole; `window` marks the
    crop that holds all the others of its row.
    """

    row: int
    start: int
    stop: int
    owner: int
    label: int | None = None
    window: bool = False

    @property
    def length(self) -> int:
        return self.stop - self.start


def collate(sequences: Sequences, crops: List[Crop], max_padding: float = 0.1) -> list[PaddedBatch]:
    """Rectangles of crops, longest first.

    Args:
        sequences: where the events are.
        crops: the crops of the batch.
        max_padding: largest share of padded cells in a rectangle; 1 makes one rectangle.

    Returns:
        `PaddedBatch`es whose payload holds, for a rectangle of B rows and T positions, every field
        (B, T) (categorical int64, numerical float32 with NaN where missing), `event_time` (B, T)
        float64, and by row `label` (B,) (-1: none), `OWNER` and `WINDOW` (B,). Where rows have
        several labels and the crops no chosen one, `label` is (L,), one entry a label, and
        `LABEL_EVENT` (L,) numbers their events among the valid cells.
    """
    ordered = sorted(crops, key=lambda crop: -crop.length)
    return [_rectangle(sequences, group) for group in groups_of(ordered, max_padding)]


def groups_of(ordered: List[Crop], max_padding: float) -> list[list[Crop]]:
    """Cut crops, longest first, into groups of which none is padded by more than `max_padding`."""
    groups: list[list[Crop]] = []
    events = 0
    for crop in ordered:
        events += crop.length
        if groups:
            group = groups[-1]
            cells = (len(group) + 1) * group[0].length
            if 1 - events / cells <= max_padding:
                group.append(crop)
                continue
        groups.append([crop])
        events = crop.length
    return groups


def _rectangle(sequences: Sequences, crops: List[Crop]) -> PaddedBatch:
    shape = (len(crops), crops[0].length)
    arrays = {TIME: np.zeros(shape, np.float64)}
    for field in sequences.schema.fields:
        dtype = np.int64 if field.kind == "categorical" else np.float32
        arrays[field.name] = np.zeros(shape, dtype)
    for index, crop in enumerate(crops):
        for name, values in sequences.events(crop.row, crop.start, crop.stop).items():
            arrays[name][index, : crop.length] = values
    payload = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if crops[0].label is not None:
        payload[LABEL] = torch.tensor([crop.label for crop in crops])
    elif sequences.local is None:
        payload[LABEL] = torch.from_numpy(sequences.labels[[crop.row for crop in crops]])
    else:
        pairs = [sequences.local.of_crop(crop.row, crop.start, crop.stop) for crop in crops]
        firsts = np.cumsum([0, *(crop.length for crop in crops)])
        events = [place + first for (_, place), first in zip(pairs, firsts[:-1], strict=True)]
        payload[LABEL] = torch.from_numpy(np.concatenate([labels for labels, _ in pairs]))
        payload[LABEL_EVENT] = torch.from_numpy(np.concatenate(events))
    payload[OWNER] = torch.tensor([crop.owner for crop in crops])
    payload[WINDOW] = torch.tensor([crop.window for crop in crops])
    return PaddedBatch(payload, torch.tensor([crop.length for crop in crops]))


def padding_share(groups: List[PaddedBatch]) -> float:
    """Share of padded cells in a batch."""
    cells = sum(int(group.payload[TIME].numel()) for group in groups)
    return 1 - sum(int(group.seq_lens.sum()) for group in groups) / cells
