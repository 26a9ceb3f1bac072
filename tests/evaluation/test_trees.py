"""A stored classifier predicts what the fitted one does, to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from grap_seq.evaluation.binned import Binned
from grap_seq.evaluation.boosting import BoostingSettings
from grap_seq.evaluation.features import Features
from grap_seq.evaluation.trees import Trees
from grap_seq.schema import Label

THREE, NUMBER = Label("kind", "accuracy", ("a", "b", "c")), Label("spend", "r2")
SETTINGS = BoostingSettings(n_estimators=5, learning_rate=0.3, min_data_in_leaf=5)


@pytest.mark.parametrize(
    ("label", "seen"), [(THREE, [0, 1, 2]), (THREE, [0, 2]), (THREE, [1]), (NUMBER, [0.3, 1.7, -2])]
)
def test_text_and_back(label: Label, seen: list[float]) -> None:
    rng = np.random.default_rng(0)
    labels = np.resize(np.array(seen), 120)
    features = (labels[:, None] + rng.normal(size=(120, 4))).astype(np.float32)
    features[::7, 1] = np.nan
    binned = Binned(Features((features,)), np.arange(120), SETTINGS, threads=1)
    trees = binned.fit(np.arange(120), labels, label=label, settings=SETTINGS, seed=1, threads=1)
    stored = json.loads(json.dumps(trees.to_dict()))
    found = Trees.from_dict(stored, label.outputs).predict(features, threads=1)
    np.testing.assert_array_equal(found, trees.predict(features, threads=1))
    assert found.shape == (120, label.outputs)
    if label.classes:
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found[:, [c for c in range(3) if c not in seen]] == 0).all()
