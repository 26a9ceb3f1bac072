"""Batches of an epoch: complete, reproducible, and random samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq.data.order import batches, generator


@given(
    rows=st.integers(1, 150),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 1000),
)
@settings(max_examples=100)
def test_every_row_exactly_once(rows: int, batch_size: int, seed: int, epoch: int) -> None:
    drawn = batches(rows, batch_size, seed, epoch)
    again = batches(rows, batch_size, seed, epoch)
    assert sorted(np.concatenate(drawn).tolist()) == list(range(rows))
    sizes = [len(members) for members in drawn]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    # A row alone has no negatives. Pairs of an odd number of rows cannot all be pairs.
    if batch_size > 2 and rows > 1:
        assert min(sizes) > 1
    assert [members.tolist() for members in again] == [members.tolist() for members in drawn]


def test_no_rows_are_no_batches() -> None:
    assert batches(0, 8, 0, 0) == []


def test_order_depends_on_seed_and_epoch_and_not_on_the_global_state() -> None:
    def flat(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(np.concatenate(batches(500, 16, seed, epoch)).tolist())

    first = flat(3, 1)
    np.random.seed(5)  # noqa: NPY002
    assert flat(3, 1) == first
    assert len({first, flat(3, 2), flat(4, 1), flat(1, 3)}) == 4


@given(batch_size=st.integers(4, 40), batch_count=st.integers(5, 60), seed=st.integers(0, 2**20))
@settings(max_examples=40)
def test_two_rows_meet_again_no_more_often_than_by_chance(
    batch_size: int, batch_count: int, seed: int
) -> None:
    rows = batch_size * batch_count
    first, second = (
        np.empty(rows, int),
        np.empty(rows, int),
    )
    for epoch, company in enumerate((first, second)):
        for number, members in enumerate(batches(rows, batch_size, seed, epoch)):
            company[members] = number
    # Pairs of the first epoch that are together in the second one; by chance (B - 1) / (N - 1).
    counts = np.zeros((batch_count, batch_count), int)
    np.add.at(counts, (first, second), 1)
    again = (counts * (counts - 1) // 2).sum()
    pairs = batch_count * batch_size * (batch_size - 1) / 2
    chance = (batch_size - 1) / (rows - 1)
    # Nearly Poisson: six deviations.
    assert abs(again - pairs * chance) < 6 * np.sqrt(pairs * chance) + 1


def test_a_row_knows_nothing_of_its_neighbours() -> None:
    """Rows numbered by length: the company of short ones is as long as that of long ones."""
    means = np.zeros(3200)
    epochs = 30
    for epoch in range(epochs):
        for members in batches(3200, 32, 0, epoch):
            means[members] += (members.sum() - members) / (len(members) - 1) / epochs
    correlation = np.corrcoef(means, np.arange(3200))[0, 1]
    # Without replacement a row's company is without the row itself: -1/3199, and noise of 0.018.
    assert abs(correlation) < 0.07


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
