"""Typical gaps, against NumPy on the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest

from grap_seq.data.gaps import gap_quantiles, gaps, typical_gap
from tests.data.toy import random_rows, sequences

ROWS = random_rows([9, 1, 14, 1, 5, 12], seed=3)


def test_gaps_of_all_sequences() -> None:
    wanted = np.concatenate([np.diff(row["event_time"]) for row in ROWS])
    np.testing.assert_array_equal(gaps(sequences(ROWS)), wanted)
    shares = [0.1, 0.5, 0.99]
    assert gap_quantiles(sequences(ROWS), shares) == np.quantile(wanted, shares).tolist()
    assert typical_gap(sequences(ROWS)) == np.median(wanted)


def test_a_sample_is_spread_over_the_rows() -> None:
    wanted = np.concatenate([np.diff(row["event_time"]) for row in ROWS[::2]])
    np.testing.assert_array_equal(gaps(sequences(ROWS), events=21), wanted)


def test_events_of_one_moment() -> None:
    rows = random_rows([6, 4])
    rows[0]["event_time"] = np.array([1.0, 1.0, 1.0, 3.0, 3.0, 7.0])
    rows[1]["event_time"] = np.full(4, 2.0)
    assert gap_quantiles(sequences(rows), [0.5]) == [0.0]
    assert typical_gap(sequences(rows)) == 3.0
    assert gap_quantiles(sequences(rows[1:]), [0.5], ties=False) == [1.0]


@pytest.mark.parametrize("lengths", [[], [1], [1, 1]])
def test_no_gap_at_all(lengths: list[int]) -> None:
    assert typical_gap(sequences(random_rows(lengths))) == 1.0
