"""Several labels a sequence in a prepared part: their codes and the last events before them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grap_seq.prep.stages.label_codes import label_codes
from grap_seq.schema import Label


def label_lists(known: pa.Table, times: pa.ChunkedArray, label: Label) -> list[pa.Array]:
    """Columns `label` and `label_position` of some sequences, and the labels' times, as lists.

    Args:
        known: `__label0` and `__label_time`, lists in the order of time, null without labels.
        times: times of the events of the same sequences, rising.
        label: what they are labels of.
    """
    lengths = pc.fill_null(pc.list_value_length(known["__label0"]), 0).to_numpy()
    label_times = pc.list_flatten(known["__label_time"]).to_numpy()
    moments = _split(label_times, lengths)
    events = _split(pc.list_flatten(times).to_numpy(), pc.list_value_length(times).to_numpy())
    # An event at the label's own time is after it already.
    positions = [
        np.searchsorted(event, moment, side="left") - 1
        for event, moment in zip(events, moments, strict=True)
        if len(moment)
    ]
    position = np.concatenate(positions) if positions else np.zeros(0, np.int64)
    assert (position >= 0).all(), "labels before the first event were left out"
    codes = label_codes(pc.list_flatten(known["__label0"]), label).combine_chunks()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    unlabelled = pa.array(lengths == 0)
    return [
        pa.ListArray.from_arrays(offsets, values, mask=unlabelled)
        for values in (codes, pa.array(position, pa.int32()), pa.array(label_times, pa.float64()))
    ]


def _split(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    return np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
