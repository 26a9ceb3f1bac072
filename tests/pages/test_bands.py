"""Bands of curves, worked out by hand and beside numpy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from grap_seq.pages.bands import band, windows


def curve(values: list[float], steps: Iterable[float]) -> pd.Series[float]:
    found: pd.Series[float] = pd.Series(dict(zip(steps, values, strict=True)), dtype=float)
    return found


def test_mean_and_deviation_at_common_steps() -> None:
    curves = [curve([1.0, 4.0], [10, 20]), curve([3.0, 5.0], [10, 20])]
    found = band(curves)
    assert found is not None
    assert found.steps.tolist() == [10, 20]
    assert found.mean.tolist() == [2, 4.5]
    # Of a sample: of 1 and 3, and of 4 and 5.
    np.testing.assert_allclose(found.std, [np.sqrt(2), np.sqrt(0.5)])
    assert found.curves == 2


def test_other_steps_are_read_off_lines_and_nothing_is_made_up_beyond_an_end() -> None:
    curves = [curve([0.0, 10.0, 20.0], [0, 10, 20]), curve([8.0, 14.0], [4, 16])]
    found = band(curves)
    assert found is not None
    assert found.steps.tolist() == [4, 10, 16]
    # The first is the step itself, the other 8, 11 and 14.
    assert found.mean.tolist() == [6, 10.5, 15]


def test_one_curve_and_none() -> None:
    alone = band([curve([1.0, np.nan, 2.0], [1, 2, 3]), curve([np.nan], [1])])
    assert alone is not None
    assert (alone.steps.tolist(), alone.std.tolist(), alone.curves) == ([1, 3], [0, 0], 1)
    assert band([curve([np.nan], [1])]) is None
    assert band([]) is None
    assert band([curve([1.0], [1]), curve([1.0], [2])]) is None


def test_windows_are_means_at_their_mean_steps() -> None:
    noisy = curve([1.0, 3.0, 5.0, 7.0, 100.0], [0, 10, 20, 30, 40])
    found = windows(noisy, 2)
    assert found.index.tolist() == [10, 35]
    assert found.tolist() == [3, 53.5]
    assert windows(noisy, 5).equals(noisy)
    assert windows(curve([float(n) for n in range(67)], range(67)), 30).mean() == pytest.approx(
        33, abs=0.5
    )
