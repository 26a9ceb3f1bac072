"""Windows and sub-sequences: inside their bounds, distributed as said, as pytorch-lifestream's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ptls.frames.coles.split_strategy import SampleSlices

from grap_seq.data.crops import CropPolicy


def drawn(policy: CropPolicy, length: int, row: int = 0) -> list[tuple[int, int]]:
    """The crops of a row in epoch 0 of seed 0."""
    return policy.draw(length, 0, 0, row)


@given(
    length=st.integers(1, 300),
    max_length=st.integers(2, 200),
    shares=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)).map(sorted),
    row=st.integers(0, 2**40),
)
@settings(max_examples=100)
def test_shares_bound_the_views(
    length: int, max_length: int, shares: list[float], row: int
) -> None:
    policy = CropPolicy(max_length, views=7, view_min=shares[0], view_max=shares[1])
    views = policy.draw(length, 3, 2, row)
    window = min(length, max_length)
    assert len(views) == 7
    assert min(start for start, _ in views) >= 0
    assert max(stop for _, stop in views) <= length
    assert max(stop for _, stop in views) - min(start for start, _ in views) <= window
    for start, stop in views:
        # At least two events, so that there is a next one; half an event of rounding.
        assert stop - start >= min(window, 2)
        assert stop - start >= min(window, shares[0] * window - 0.5)
        assert stop - start <= max(min(window, 2), shares[1] * window + 0.5)
    assert policy.draw(length, 3, 2, row) == views


@given(
    length=st.integers(1, 80),
    bounds=st.tuples(st.integers(2, 60), st.integers(2, 60)).map(sorted),
    row=st.integers(0, 1000),
)
@settings(max_examples=100)
def test_numbers_bound_the_views(length: int, bounds: list[int], row: int) -> None:
    policy = CropPolicy(1000, view_min=bounds[0], view_max=bounds[1])
    for start, stop in drawn(policy, length, row):
        assert 0 <= start < stop <= length
        assert min(length, bounds[0]) <= stop - start <= min(length, bounds[1])


@pytest.mark.parametrize(
    ("length", "possible"),
    [
        (1, {(0, 1)}),
        (2, {(0, 2)}),
        (3, {(0, 2), (1, 3), (0, 3)}),
    ],
)
def test_short_sequences(length: int, possible: set[tuple[int, int]]) -> None:
    policy = CropPolicy(view_min=0.1, view_max=0.9)
    found = {view for row in range(100) for view in drawn(policy, length, row)}
    assert found == possible


def test_lengths_and_offsets_are_uniform() -> None:
    policy = CropPolicy(max_length=1000, views=5, view_min=0.1, view_max=0.9)
    views = np.array([drawn(policy, 100, row) for row in range(3000)]).reshape(-1, 2)
    sizes = views[:, 1] - views[:, 0]
    assert sizes.min() == 10
    assert sizes.max() == 90
    assert sizes.mean() == pytest.approx(50, abs=0.8)
    assert sizes.var() == pytest.approx((81**2 - 1) / 12, rel=0.03)
    free = 100 - sizes
    places = views[:, 0] / free
    assert places.min() == 0
    assert places.max() == 1
    assert places.mean() == pytest.approx(0.5, abs=0.01)
    # The variance of a uniform choice among 0/m, 1/m, ..., m/m.
    variance = (free + 2) / (12 * free)
    assert ((places - 0.5) ** 2).mean() == pytest.approx(variance.mean(), rel=0.03)
    assert abs(np.corrcoef(places, sizes)[0, 1]) < 0.03


def test_a_longer_sequence_is_read_through_a_uniform_window() -> None:
    policy = CropPolicy(max_length=10, views=1, view_min=1.0, view_max=1.0)
    views = [drawn(policy, 30, row)[0] for row in range(4000)]
    assert {stop - start for start, stop in views} == {10}
    starts = Counter(start for start, _ in views)
    assert set(starts) == set(range(21))
    # 190 each on average, a standard deviation of 13.
    assert min(starts.values()) > 130
    assert max(starts.values()) < 250


def test_seed_epoch_and_row_change_the_views() -> None:
    policy = CropPolicy()
    draws = [policy.draw(500, *key) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert len({tuple(draw) for draw in draws}) == 4


def test_lengths_of_views_are_independent() -> None:
    """Of the views of a row, and of neighbouring rows."""
    policy = CropPolicy(max_length=1000, views=2, view_min=0.1, view_max=0.9)
    views = np.array([drawn(policy, 100, row) for row in range(3000)])
    sizes = views[:, :, 1] - views[:, :, 0]
    # A standard error of 0.018.
    assert abs(np.corrcoef(sizes[:, 0], sizes[:, 1])[0, 1]) < 0.06
    assert abs(np.corrcoef(sizes[:-1, 0], sizes[1:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 9])
def test_the_same_slices_as_pytorch_lifestream(length: int) -> None:
    """`SampleSlices` between 2 and 5 events: the same slices, as often."""
    np.random.seed(0)  # noqa: NPY002
    theirs = SampleSlices(split_count=5, cnt_min=2, cnt_max=5)
    ours = CropPolicy(views=5, view_min=2, view_max=5)
    dates = np.arange(length)
    expected, found = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for row in range(1500):
        expected.update((int(s[0]), int(s[-1]) + 1) for s in theirs.split(dates))
        found.update(drawn(ours, length, row))
    assert set(found) == set(expected)
    for view, count in expected.items():
        # Two counts of about the same Poisson variable differ by less than 6 deviations.
        assert abs(found[view] - count) < 6 * np.sqrt(2 * count)


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 1},
        {"views": 0},
        {"views": -1, "window": True},
        {"min_length": 1},
        {"min_length": 90, "max_length": 80},
        {"view_min": 0.0},
        {"view_min": 0.8, "view_max": 0.2},
        {"view_min": 0.5, "view_max": 20},
        {"view_min": -3, "view_max": 20},
    ],
)
def test_bounds_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="="):
        CropPolicy(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 5, 200])
def test_the_window_comes_behind_its_views(length: int) -> None:
    policy = CropPolicy(60, window=True)
    for row in range(20):
        *views, window = drawn(policy, length, row)
        assert len(views) == 5
        assert window[1] - window[0] == min(length, 60)
        assert all(window[0] <= start < stop <= window[1] for start, stop in views)


def test_windows_are_uniform_in_length_and_place() -> None:
    """As the published code crops: a length in 4..10, any offset; what is shorter stays whole."""
    policy = CropPolicy(max_length=10, views=0, min_length=4, window=True)
    found = [drawn(policy, 12, row) for row in range(6000)]
    assert {len(one) for one in found} == {1}
    crops = np.array(found).reshape(-1, 2)
    sizes = crops[:, 1] - crops[:, 0]
    counts = Counter(sizes.tolist())
    assert set(counts) == set(range(4, 11))
    # 857 each on average, a standard deviation of 27.
    assert all(abs(count - 6000 / 7) < 120 for count in counts.values())
    starts = Counter(crops[sizes == 4][:, 0].tolist())
    assert set(starts) == set(range(9))
    assert all(abs(count - counts[4] / 9) < 50 for count in starts.values())
    assert {drawn(policy, 3, row)[0] for row in range(50)} == {(0, 3)}
    assert {stop - start for row in range(200) for start, stop in drawn(policy, 5, row)} == {4, 5}


def test_views_lie_in_a_short_window_too() -> None:
    policy = CropPolicy(40, views=3, min_length=10, window=True)
    for row in range(200):
        *views, (start, stop) = drawn(policy, 100, row)
        assert 10 <= stop - start <= 40
        assert all(start <= first < last <= stop for first, last in views)
