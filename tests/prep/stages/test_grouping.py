"""The order of events against numpy's own sort by all columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grap_seq.prep.stages.grouping import sorted_by


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([1, 3, 70_000]))
def test_events_are_sorted_by_every_column(seed: int, events: int, sequences: int) -> None:
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, sequences, events)
    few = np.array([-np.inf, 0.0, 1.0, np.nan])
    times = generator.integers(0, 3, events).astype(float)
    rest = [generator.choice(few, events) for _ in range(3)]
    rest.append(generator.integers(0, 2, events))
    found = sorted_by(numbers, times, rest)
    keys = [numbers, times, *rest]
    expected = np.lexsort(list(reversed(keys)))
    assert sorted(found) == list(range(events))
    # Events that are equal in all columns may stand in any order.
    for key in keys:
        np.testing.assert_array_equal(key[found], key[expected])


def test_no_events() -> None:
    assert len(sorted_by(np.zeros(0, int), np.zeros(0), [np.zeros(0)])) == 0
