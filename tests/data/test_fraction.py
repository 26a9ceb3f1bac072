"""A part of the labels depends on the ids alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from grap_seq.data.fraction import chosen
from grap_seq.data.sequences import Sequences
from grap_seq.schema import UNLABELLED

IDS = [*range(3000), "a", "ä", "17 "]


def test_the_published_rule() -> None:
    for fraction in (0.05, 0.2, 0.5):
        wanted = [
            int(hashlib.sha256(str(one).encode()).hexdigest(), 16) % 10001 / 10000 < fraction
            for one in IDS
        ]
        found = chosen(pa.array([str(one) for one in IDS]), fraction)
        assert found.tolist() == wanted
        assert found.mean() == pytest.approx(fraction, abs=0.03)
        assert found[:3000].tolist() == chosen(pa.array(range(3000)), fraction).tolist()


def test_parts_are_nested_and_one_is_everything() -> None:
    ids = pa.array(range(3000))
    small, large = chosen(ids, 0.1), chosen(ids, 0.3)
    assert (large | ~small).all()
    # sha256("1283") mod 10,001 is 10,000: the rule alone would leave such ids out.
    assert chosen(ids, 1.0).all()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_impossible_parts(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"labels\.fraction=.*share of the labels in \(0, 1\]"):
        chosen(pa.array([1]), fraction)


def test_the_other_labels_are_hidden_from_a_copy(prepared: Callable[..., Path]) -> None:
    sequences = Sequences(prepared(train=[3] * 60), "train")
    before = sequences.labels.copy()
    part = sequences.with_labels(0.5)
    seen = chosen(sequences.ids(0, 60), 0.5)
    assert 0 < seen.sum() < 60
    assert (part.labels[seen] == before[seen]).all()
    assert (part.labels[~seen] == UNLABELLED).all()
    assert np.array_equal(sequences.labels, before)
    assert part.events(3, 0, 3)["event_time"].tolist() == (
        sequences.events(3, 0, 3)["event_time"].tolist()
    )
