"""Pooled states against loops over sequences."""

from __future__ import annotations

import pytest
import torch

from grap_seq.layout import Layout
from grap_seq.nn.pooling import pool

LENGTHS = [4, 1, 3, 4, 2]


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "last_mean_max"])
def test_each_row_is_pooled_over_its_own_events(pooling: str) -> None:
    torch.manual_seed(0)
    layout = Layout(LENGTHS)
    # All negative: a maximum that begins at zero would be wrong.
    states, last = -torch.rand(14, 3) - 0.1, torch.randn(5, 3)
    pooled = pool(states, last, layout, pooling)
    for row, events in enumerate(torch.split(states, LENGTHS)):
        parts = {
            "last": last[row],
            "mean": sum(events[1:], events[0]) / len(events),
            "max": torch.stack([column.max() for column in events.T]),
        }
        parts["last_mean_max"] = torch.cat([parts["last"], parts["mean"], parts["max"]])
        torch.testing.assert_close(pooled[row], parts[pooling])


@pytest.mark.parametrize("pooling", ["mean", "max", "last_mean_max"])
def test_gradients_reach_every_event(pooling: str) -> None:
    torch.manual_seed(0)
    layout = Layout(LENGTHS)
    states = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    last = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, v: pool(s, v, layout, pooling), (states, last))
