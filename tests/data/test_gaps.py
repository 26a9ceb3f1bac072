"""Time gaps of a split against pandas, and what is said of odd ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grap_seq.data.gaps import Gaps, gaps_of
from grap_seq.data.sequences import Sequences
from grap_seq.schema import TIME, Schema

SCHEMA = Schema("clicks", "id", "hour", ())
TIMES = st.lists(
    st.lists(st.integers(0, 50), min_size=1, max_size=12).map(sorted), min_size=1, max_size=8
)


def split(times: Sequence[Sequence[float]]) -> Sequences:
    rows = [list(map(float, row)) for row in times]
    table = pa.table({"id": list(range(len(rows))), TIME: pa.array(rows, pa.list_(pa.float64()))})
    return Sequences.from_table(SCHEMA, table)


@given(TIMES)
def test_every_gap_within_a_sequence(times: list[list[float]]) -> None:
    frame = pd.DataFrame([(n, t) for n, row in enumerate(times) for t in row], columns=["id", "t"])
    wanted = frame.groupby("id")["t"].diff().dropna().to_numpy()
    gaps = gaps_of(split(times))
    np.testing.assert_array_equal(gaps.values, np.sort(wanted))
    positive = wanted[wanted > 0]
    if len(positive):
        assert gaps.typical == np.median(positive)
        assert gaps.resolution == positive.min()
        assert gaps.quantile(0.99) == pytest.approx(pd.Series(positive).quantile(0.99))
    limit = 7.5
    if len(wanted):
        assert gaps.beyond(limit) == pytest.approx((wanted > limit).mean())
        # No constant predicts better than the median.
        clipped = np.minimum(wanted, limit)
        errors = [np.abs(clipped - guess).mean() for guess in np.unique(clipped)]
        assert gaps.deviation(limit) in (pytest.approx(min(errors)), gaps.typical)


@pytest.mark.parametrize("times", [[], [[3.0]], [[2.0, 2.0, 2.0], [5.0]]])
def test_without_time_between_events_the_unit_is_one(times: list[list[float]]) -> None:
    gaps = gaps_of(split(times))
    assert (gaps.typical, gaps.resolution, gaps.quantile(0.99), gaps.deviation(1.0)) == (1, 1, 1, 1)
    assert gaps.beyond(0) == 0


def test_equal_gaps_have_themselves_as_unit() -> None:
    assert gaps_of(split([[0, 5, 10, 15]])).deviation(100.0) == 5


def test_the_sample_is_bounded_and_spread_over_the_split() -> None:
    # Gaps of row n are n + 1.
    gaps = gaps_of(split([[k * (n + 1) for k in range(10)] for n in range(9)]), rows=3, events=4)
    assert gaps.values.tolist() == [1, 1, 1, 5, 5, 5, 9, 9, 9]


def test_of_a_prepared_folder(prepared: Callable[..., Path]) -> None:
    train = Sequences(prepared(train=[5, 1, 8]), "train")
    first, again = gaps_of(train), gaps_of(train)
    assert len(first.values) == 4 + 7
    assert np.array_equal(first.values, again.values)
    assert isinstance(first, Gaps)


def test_bins_hold_about_as_many_gaps_each() -> None:
    values = np.sort(np.random.default_rng(0).exponential(size=4000))
    edges = Gaps(values).edges()
    counts = np.bincount(np.searchsorted(edges, values), minlength=16)
    assert len(edges) == 15
    assert counts.min() > 245
    assert counts.max() < 255


def test_equal_gaps_are_in_one_bin() -> None:
    values = np.sort([0.0] * 50 + [1.0] * 30 + [7.0] * 20)
    assert Gaps(values).edges() == [0.0, 1.0, 7.0]
    assert Gaps(np.zeros(0)).edges() == [0.0]
