"""Pooled states against loops over sequences."""

from __future__ import annotations

import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch

from grap_seq.nn.pooling import pool

LENGTHS = [4, 1, 3, 4, 2]


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "last_mean_max"])
@pytest.mark.parametrize("garbage", [0.0, 1e9, float("nan")])
def test_each_row_is_pooled_over_its_own_events(pooling: str, garbage: float) -> None:
    torch.manual_seed(0)
    # All negative: a maximum that sees padding of zeros would be wrong.
    payload = -torch.rand(5, 4, 3) - 0.1
    for row, length in enumerate(LENGTHS):
        payload[row, length:] = garbage
    found = pool(PaddedBatch(payload, torch.tensor(LENGTHS)), pooling)
    for row, length in enumerate(LENGTHS):
        events = payload[row, :length]
        parts = {
            "last": events[-1],
            "mean": sum(events[1:], events[0]) / length,
            "max": torch.stack([column.max() for column in events.T]),
        }
        parts["last_mean_max"] = torch.cat([parts["last"], parts["mean"], parts["max"]])
        torch.testing.assert_close(found[row], parts[pooling])
