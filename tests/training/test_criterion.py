"""Which score chooses the weights, and that few labels do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grap_seq.data.sequences import Sequences
from grap_seq.training import criterion as module
from grap_seq.training.criterion import criterion, rare


@pytest.mark.parametrize(
    ("labels", "count"),
    [([], 0), ([1, 1, 1], 0), ([0, 1, 1], 1), ([0, 1, 2, 2, 2, 0], 3), ([5], 0)],
)
def test_labels_beside_the_largest_class(labels: list[int], count: int) -> None:
    assert rare(np.array(labels, int)) == count


def test_auto_probes_where_labels_are_many(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = Sequences(shop, "train"), Sequences(shop, "val")
    assert criterion("auto", train, val) == "loss"
    beside = rare(val.labels)
    assert 0 < beside < 20
    monkeypatch.setattr(module, "FEW_LABELS", beside)
    assert criterion("auto", train, val) == "probe"
    monkeypatch.setattr(module, "FEW_LABELS", beside + 1)
    assert criterion("auto", train, val) == "loss"
    monkeypatch.setattr(module, "FEW_LABELS", 1)
    one_class = train.with_labels(1.0)
    one_class.labels = np.zeros(len(train), int)
    assert criterion("auto", one_class, val) == "loss"
    val.lengths = np.ones(len(val), int)
    assert criterion("auto", one_class, val) == "last"


def test_other_choices_are_themselves(shop: Path) -> None:
    train = Sequences(shop, "train")
    for choice in ("probe", "loss", "last"):
        assert criterion(choice, train, train) == choice
