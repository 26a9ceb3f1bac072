"""Error bars of scores and of paired differences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from grap_seq.evaluation.outcome import (
    Difference,
    Outcome,
    cross_validated,
    difference,
    held_out,
)
from grap_seq.schema import Label

Array = npt.NDArray[Any]
LABEL = Label("bought", "accuracy", ("no", "yes"))


def with_mistakes(labels: Array, wrong: list[int]) -> Array:
    """Certain predictions of two classes, wrong at the given places."""
    guesses = labels.copy()
    guesses[wrong] = 1 - guesses[wrong]
    return np.eye(2)[guesses]


def test_holdout_by_hand() -> None:
    labels = np.arange(100) % 2
    result = held_out(
        (labels[:10], with_mistakes(labels[:10], [0])),
        (labels, with_mistakes(labels, list(range(20)))[None]),
        LABEL,
        seed=0,
    )
    assert result.test == 0.8
    assert result.validation == 0.9
    assert result.std == pytest.approx(math.sqrt(0.8 * 0.2 / 100), rel=0.2)


def test_difference_is_paired() -> None:
    labels = np.arange(100) % 2
    validation = (labels, np.eye(2)[labels])
    first, second = (
        held_out(validation, (labels, with_mistakes(labels, wrong)[None]), LABEL, seed=0)
        for wrong in (list(range(20)), list(range(21)))
    )
    gap = difference(first, second)
    assert gap.mean == pytest.approx(0.01)
    # They differ in one sequence of a hundred: sqrt(0.01 * 0.99 / 100), a quarter of either std.
    assert gap.error == pytest.approx(0.01, rel=0.2)
    assert gap.high - gap.mean == pytest.approx(1.96 * gap.error, rel=1e-4)
    assert difference(first, first) == Difference(0, 0, 0, 0)


def test_the_interval_of_holdout_counts_the_classifiers_seeds() -> None:
    """Two seeds that disagree about ten of a hundred sequences: their draw alone moves the mean."""
    labels = np.arange(100) % 2
    validation = (labels, np.eye(2)[labels])
    right, wrong = with_mistakes(labels, []), with_mistakes(labels, list(range(10)))
    same, differ = (
        held_out(validation, (labels, np.stack(seeds)), LABEL, seed=0)
        for seeds in ((0.9 * right + 0.1 * wrong,) * 2, (right, wrong * 1.01))
    )
    assert same.std == 0
    # The mean of the two is wrong about ten, as is the second twice; the first twice about none.
    assert differ.test == 0.9
    outcomes = differ.samples > 0.999
    assert 0.15 < outcomes.mean() < 0.35


@pytest.mark.parametrize("undefined", [False, True])
def test_the_interval_over_folds_is_that_of_the_corrected_t_test(undefined: bool) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.8, 0.02, 5), rng.normal(0.79, 0.02, 5)
    if undefined:
        second[2] = math.nan
    gaps = (first - second)[~np.isnan(first - second)]
    outcomes = [Outcome(float(np.nanmean(s)), None, s, 5) for s in (first, second)]
    found = difference(*outcomes)
    # Nadeau and Bengio: variance times 1/k + n_test/n_train; Student's t by SciPy itself.
    error = math.sqrt(gaps.var(ddof=1) * (1 / len(gaps) + 1 / 4))
    low, high = stats.t.interval(0.95, len(gaps) - 1, loc=found.mean, scale=error)
    assert (found.error, found.low, found.high) == pytest.approx((error, low, high))
    assert found.mean == pytest.approx(gaps.mean())


def test_folds_by_hand() -> None:
    labels = np.array([0, 1, 0, 1])
    mistakes: list[list[int]] = [[], [0], [0, 1]]
    predictions = [with_mistakes(labels, wrong) for wrong in mistakes]
    result = cross_validated([labels] * 3, predictions, LABEL)
    np.testing.assert_array_equal(result.samples, [1, 0.75, 0.5])
    assert (result.test, result.validation, result.folds) == (0.75, None, 3)
    assert result.std == 0.25


def test_undefined_folds_are_left_out() -> None:
    labels = [np.array([0, 1]), np.array([1, 1])]
    result = cross_validated(labels, [np.eye(2)[y] for y in labels], replace(LABEL, metric="auc"))
    assert result.test == 1
    assert math.isnan(result.samples[1])
    nothing = Outcome(math.nan, None, np.array([math.nan, math.nan]), 2)
    assert math.isnan(nothing.std)
