"""Crops of sequences to a batch: every field is one concatenation of slices."""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
import torch

from grap_seq.batch import Batch
from grap_seq.data.sequences import Sequences
from grap_seq.layout import MAX_PADDING, Layout
from grap_seq.schema import TIME


@dataclass(frozen=True)
class Crop:
    """Events start..stop of a row; `owner` numbers the sequences of a batch.

    `label` is one of several labels of the row, chosen for the crop as a whole; `window` marks the
    crop that holds all the others of its row. `until` is up to when the crop was observed, where it
    is neither the row's own nor a `share` of the way to the next event.
    """

    row: int
    start: int
    stop: int
    owner: int
    label: float | None = None
    window: bool = False
    until: float | None = None
    share: float = 0.0

    @property
    def length(self) -> int:
        return self.stop - self.start


def collate(sequences: Sequences, crops: List[Crop], max_padding: float = MAX_PADDING) -> Batch:
    """A batch with a row for each crop, in their order.

    Where windows come beside their views, the next events of the windows alone are predicted.

    Args:
        sequences: where the events are.
        crops: the rows.
        max_padding: largest share of padded cells, for encoders that read rectangles.
    """
    layout = Layout([crop.length for crop in crops], max_padding)
    slices = [(crop.row, crop.start, crop.stop) for crop in crops]
    events = {name: torch.from_numpy(v) for name, v in sequences.gather(slices).items()}
    times = events.pop(TIME)
    rows = np.repeat([crop.row for crop in crops], layout.sizes)
    events |= {name: torch.from_numpy(v[rows]) for name, v in sequences.static.items()}
    windows = np.array([crop.window for crop in crops], bool)
    has_next = torch.from_numpy(np.repeat(windows | (not windows.any()), layout.sizes))
    has_next[layout.ends] = False
    labels, label_events = _labels(sequences, crops, layout)
    owners, views = np.array([crop.owner for crop in crops], np.int64), np.flatnonzero(~windows)
    return Batch(
        layout=layout.prepare(),
        fields=events,
        times=times,
        gaps=time_gaps(times, layout),
        owners=torch.from_numpy(owners),
        views=torch.from_numpy(views),
        view_owners=(owners[views],),
        has_next=has_next,
        predicted=int(has_next.sum()),
        labels=labels,
        label_events=label_events,
        until=_until(sequences, crops) if sequences.schema.until else None,
    )


def time_gaps(times: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Time since the event before, zero for a row's first one, shape (N,), float32.

    The difference is taken in float64: times since 1970 in days need it.
    """
    gaps = torch.zeros_like(times)
    gaps[1:] = times[1:] - times[:-1]
    gaps[layout.starts] = 0
    return gaps.float()


def _until(sequences: Sequences, crops: List[Crop]) -> torch.Tensor:
    rows, stops, shares = (
        np.array([getattr(crop, name) for crop in crops]) for name in ("row", "stop", "share")
    )
    found = sequences.observed(rows, stops, shares)
    given = zip(crops, found.tolist(), strict=True)
    return torch.tensor(
        [until if crop.until is None else crop.until for crop, until in given], dtype=torch.float64
    )


def _labels(
    sequences: Sequences, crops: List[Crop], layout: Layout
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Labels, and the flat positions of their events where rows have several of them."""
    if crops and crops[0].label is not None:
        codes = np.array([crop.label for crop in crops], sequences.labels.dtype)
        return torch.from_numpy(codes), None
    if sequences.local is None:
        return torch.from_numpy(sequences.labels[[crop.row for crop in crops]]), None
    pairs = [sequences.local.of_crop(crop.row, crop.start, crop.stop) for crop in crops]
    starts = layout.starts.tolist()
    events = [position + start for (_, position), start in zip(pairs, starts, strict=True)]
    labels = np.concatenate([labels for labels, _ in pairs])
    return torch.from_numpy(labels), torch.from_numpy(np.concatenate(events))
