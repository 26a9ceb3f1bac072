"""Flat lists of events against loops over sequences."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq.data.sequences import TIME
from grap_seq.nn.positions import flatten, last_positions, lengths, mask, time_gaps, unflatten
from tests.data.toy import groups_of, in_order, random_rows

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=10)
PADDINGS = st.sampled_from([0.0, 0.1, 0.4, 1.0])


@given(SIZES, PADDINGS)
@settings(max_examples=50)
def test_flatten_lists_every_event_in_order(sizes: list[int], max_padding: float) -> None:
    rows = random_rows(sizes)
    groups = groups_of(rows, max_padding)
    ordered = in_order(groups, rows)
    for name in (TIME, "type", "a.b"):
        wanted = np.concatenate([row[name] for row in ordered])
        np.testing.assert_array_equal(flatten(groups, name).numpy(), wanted)
    counts = [len(row[TIME]) for row in ordered]
    assert lengths(groups).tolist() == counts
    assert last_positions(groups).tolist() == (np.cumsum(counts) - 1).tolist()


@given(SIZES, PADDINGS, st.integers(1, 3))
@settings(max_examples=50)
def test_unflatten_is_the_inverse_and_pads_with_zeros(
    sizes: list[int], max_padding: float, width: int
) -> None:
    groups = groups_of(random_rows(sizes), max_padding)
    values = torch.randn(sum(sizes), width)
    back = unflatten(values, groups)
    assert torch.equal(flatten(back), values)
    for group, cells in zip(groups, back, strict=True):
        assert torch.equal(cells.seq_lens, group.seq_lens)
        assert cells.payload.shape == (*group.payload[TIME].shape, width)
        valid = mask(group)
        assert valid.sum(1).tolist() == group.seq_lens.tolist()
        assert not cells.payload[~valid].any()
        assert torch.equal(mask(cells), valid)


@given(SIZES, PADDINGS)
@settings(max_examples=50)
def test_time_gaps_never_cross_sequences(sizes: list[int], max_padding: float) -> None:
    rows = random_rows(sizes)
    groups = groups_of(rows, max_padding)
    wanted = [np.diff(row[TIME], prepend=row[TIME][0]) for row in in_order(groups, rows)]
    found = time_gaps(groups)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), np.concatenate(wanted).astype(np.float32))


def test_time_gaps_of_large_times_are_exact() -> None:
    """Seconds since 1970: float32 would see steps of 128 seconds."""
    (row,) = random_rows([5])
    row[TIME] = 1.7e9 + np.array([0.0, 0.25, 1.25, 61.25, 61.25])
    assert time_gaps(groups_of([row])).tolist() == [0.0, 0.25, 1.0, 60.0, 0.0]


def test_gradients_flow_through_both_ways() -> None:
    groups = groups_of(random_rows([3, 1, 2]), 1.0)
    values = torch.randn(6, 2, requires_grad=True)
    weights = torch.randn(6, 2)
    total = (flatten(unflatten(values, groups)) * weights).sum()
    (gradient,) = torch.autograd.grad(total, values)
    assert torch.equal(gradient, weights)
