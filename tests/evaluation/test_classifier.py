"""Fits side by side share the threads that PyTorch was given, or those that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grap_seq.evaluation.binned import Binned
from grap_seq.evaluation.boosting import BoostingSettings
from grap_seq.evaluation.classifier import Classifier
from grap_seq.evaluation.features import Features
from grap_seq.evaluation.plan import Part
from grap_seq.schema import Label

LABEL = Label("toy", "auc", ("no", "yes"))
SETTINGS = BoostingSettings(n_estimators=2, min_data_in_leaf=5)


@pytest.mark.parametrize(
    ("threads", "seeds", "of_a_fit"), [(4, 1, 4), (4, 2, 2), (4, 3, 1), (1, 3, 1)]
)
def test_threads_are_shared_out(
    threads: int, seeds: int, of_a_fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(60) % 2
    classifier = Classifier(labels, LABEL, SETTINGS, seeds=seeds, threads=threads)
    parts = [Part(np.arange(40), np.arange(40, 60), np.arange(0))]
    bins = classifier.bins(Features((labels[:, None].astype(np.float32),)), parts)
    given: list[int] = []
    usual = Binned.fit

    def recorded(self: Binned, *arguments: Any, **options: Any) -> Any:
        given.append(options["threads"])
        return usual(self, *arguments, **options | {"threads": 1})

    monkeypatch.setattr(Binned, "fit", recorded)
    classifier.predictions(bins, parts, "toy")
    assert given == [of_a_fit] * seeds


def test_none_is_as_many_as_pytorch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert Classifier(np.arange(2), LABEL, SETTINGS).available == 3
