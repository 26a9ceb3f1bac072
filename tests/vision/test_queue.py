"""The queue of keys against a plain list."""

from __future__ import annotations

import pytest
import torch

from grap_seq.vision.queue import NeighbourQueue


def test_keys_start_random_with_unit_norm_from_torchs_generator() -> None:
    torch.manual_seed(3)
    queue = NeighbourQueue(50, 8)
    torch.manual_seed(3)
    drawn = torch.randn(50, 8).double()
    expected = torch.stack([row / row.square().sum().sqrt() for row in drawn])
    torch.testing.assert_close(queue.keys.double(), expected, rtol=1e-6, atol=1e-7)


def test_nearest_are_the_largest_products_in_order() -> None:
    torch.manual_seed(0)
    queue = NeighbourQueue(20, 4)
    keys = torch.randn(6, 4)
    found = queue.nearest(keys, 5)
    assert found.shape == (6, 5, 4)
    for key, neighbours in zip(keys, found, strict=True):
        products = [float(key.double() @ row.double()) for row in queue.keys]
        order = sorted(range(20), key=lambda row: -products[row])
        assert torch.equal(neighbours, queue.keys[order[:5]])
    assert not found.requires_grad
    assert not queue.nearest(keys.requires_grad_(), 1).requires_grad


def test_first_in_first_out_with_batches_of_any_size() -> None:
    torch.manual_seed(0)
    queue = NeighbourQueue(7, 2)
    expected = list(queue.keys)  # oldest first
    for size in (3, 3, 5, 7, 1, 0, 6, 2, 7, 4):
        batch = torch.randn(size, 2, requires_grad=True)
        queue.enqueue(batch)
        expected = [*expected, *batch.detach()][-7:]
        oldest = int(queue.pointer)
        assert torch.equal(queue.keys.roll(-oldest, 0), torch.stack(expected))
    assert not queue.keys.requires_grad


def test_stored_state_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    queue, other = NeighbourQueue(5, 2), NeighbourQueue(5, 2)
    queue.enqueue(torch.randn(3, 2))
    other.load_state_dict(queue.state_dict())
    batch = torch.randn(4, 2)
    for one in (queue, other):
        one.enqueue(batch)
    assert torch.equal(queue.keys, other.keys)
    assert int(queue.pointer) == int(other.pointer) == 2


def test_what_does_not_fit_is_refused() -> None:
    queue = NeighbourQueue(5, 2)
    before = queue.keys.clone()
    with pytest.raises(ValueError, match="6 keys does not fit into a queue of 5"):
        queue.enqueue(torch.randn(6, 2))
    with pytest.raises(ValueError, match="queue of 5 keys has no 6 neighbours"):
        queue.nearest(torch.randn(1, 2), 6)
    assert torch.equal(queue.keys, before)
