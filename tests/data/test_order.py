"""Batches of an epoch: complete, reproducible, of similar lengths, and none alone."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq.data import order
from grap_seq.data.order import batches, generator


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=150),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 1000),
    pool=st.sampled_from([1, 2, 50]),
)
@settings(max_examples=100)
def test_every_row_exactly_once(
    lengths: list[int], batch_size: int, seed: int, epoch: int, pool: int
) -> None:
    with mock.patch.object(order, "POOL_BATCHES", pool):
        found = batches(np.array(lengths), batch_size, seed, epoch)
        again = batches(np.array(lengths), batch_size, seed, epoch)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    sizes = [len(rows) for rows in found]
    assert max(sizes) <= batch_size
    # A row alone has no negatives. Pairs of an odd number of rows cannot all be pairs.
    if batch_size > 2 and len(lengths) > 1 and pool > 1:
        assert min(sizes) > 1
    assert [rows.tolist() for rows in again] == [rows.tolist() for rows in found]


def test_order_depends_on_seed_and_epoch_and_not_on_the_global_state() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 500)

    def flat(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(np.concatenate(batches(lengths, 16, seed, epoch)).tolist())

    first = flat(3, 1)
    np.random.seed(5)  # noqa: NPY002
    assert flat(3, 1) == first
    assert len({first, flat(3, 2), flat(4, 1), flat(1, 3)}) == 4


def test_a_batch_has_similar_lengths_and_its_company_is_random() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, 3200)
    found = [batches(lengths, 32, seed=0, epoch=epoch) for epoch in range(2)]
    spread = np.mean([np.ptp(lengths[rows]) for rows in found[0]])
    # A random batch of 32 spans nearly all of 1000; fifty batches sorted together, a fiftieth.
    assert spread < 40
    # Batches come in no order of length.
    means = np.array([lengths[rows].mean() for rows in found[0]])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
    neighbours = [
        {(int(a), int(b)) for rows in epoch for a in rows for b in rows if a < b} for epoch in found
    ]
    # Equal lengths meet again now and then; most rows meet others.
    assert len(neighbours[0] & neighbours[1]) / len(neighbours[0]) < 0.5


def test_generators_are_functions_of_their_four_numbers() -> None:
    keys = [
        (seed, epoch, row, purpose)
        for seed in (0, 1)
        for epoch in (0, 1)
        for row in (0, 1, 2**40)
        for purpose in (0, 1, 2)
    ]
    draws = [generator(*key).integers(2**63, size=1000).tolist() for key in keys]
    assert draws == [generator(*key).integers(2**63, size=1000).tolist() for key in keys]
    # No value twice in 36 000 of 2^63: no stream runs into another one.
    assert len(set(np.concatenate(draws).tolist())) == len(keys) * 1000


def test_streams_of_neighbouring_rows_are_uncorrelated() -> None:
    draws = np.array([generator(7, 3, row).random(200) for row in range(200)])
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert draws.var() == pytest.approx(1 / 12, abs=0.003)
    by_row = np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]
    assert abs(by_row) < 0.025
