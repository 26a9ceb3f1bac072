"""Pooled states against loops over sequences."""

from __future__ import annotations

import pytest
import torch

from grap_seq.layout import Layout
from grap_seq.nn.pooling import POOLINGS, Events, pool, widths

LENGTHS = [4, 1, 3, 4, 2]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_row_is_pooled_over_its_own_events(pooling: str) -> None:
    torch.manual_seed(0)
    layout = Layout(LENGTHS)
    # All negative: a maximum that begins at zero would be wrong.
    states, last = -torch.rand(14, 3) - 0.1, torch.randn(5, 3)
    columns = -torch.rand(14, 2) - 0.1
    pooled = pool(Events(columns, states, last, layout), pooling)
    assert pooled.shape[1] == sum(widths(pooling, 3, 2).values())
    rows = zip(torch.split(states, LENGTHS), torch.split(columns, LENGTHS), strict=True)
    for row, (events, read) in enumerate(rows):
        parts = {
            "last": last[row],
            "mean": sum(events[1:], events[0]) / len(events),
            "max": torch.stack([column.max() for column in events.T]),
        }
        parts["last_mean_max"] = torch.cat([parts["last"], parts["mean"], parts["max"]])
        largest, smallest = (
            torch.stack([choose(column) for column in read.T]) for choose in (max, min)
        )
        spread = torch.from_numpy(read.numpy().std(axis=0)).clamp(min=1e-4)
        inputs = [sum(read[1:], read[0]) / len(read), spread, largest, smallest]
        inputs.append(torch.tensor([len(read)]).log())
        parts["last_mean_max_inputs"] = torch.cat([parts["last_mean_max"], *inputs])
        torch.testing.assert_close(pooled[row], parts[pooling])


def test_parts_have_their_widths_in_order() -> None:
    found = widths("last_mean_max_inputs", 3, 2)
    assert list(found.items()) == [("last", 3), ("mean", 3), ("max", 3), ("inputs", 9)]


@pytest.mark.parametrize("pooling", ["mean", "max", "last_mean_max_inputs"])
def test_gradients_reach_every_event(pooling: str) -> None:
    torch.manual_seed(0)
    layout = Layout(LENGTHS)
    states = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    last = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(14, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, e, v: pool(Events(v, s, e, layout), pooling), (states, last, vectors)
    )
