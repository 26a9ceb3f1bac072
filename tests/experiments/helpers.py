"""Prepared folders of artificial data, and runs that cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grap_seq.experiments import runs
from grap_seq.experiments.job import Job
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare

# MBD mini has labels of several months a client.
ROWS = {"churn": 6000, "taobao": 6000, "mbd_mini": 1500}


def make(dataset: str, folder: Path) -> Path:
    """A folder of prepared folders with artificial data of one dataset."""
    raw = synth(dataset, folder / "raw", ROWS.get(dataset, 4000), 0)
    prepare(dataset, folder / "data" / dataset, source=raw)
    return folder / "data"


def stub(monkeypatch: pytest.MonkeyPatch, score: Callable[[Job], float]) -> None:
    """Runs whose test and validation score is a function of what they are."""

    def stages(job: Job, _: Path) -> tuple[dict[str, Any], dict[str, float], None]:
        scores = {"embedding": score(job)}
        if not job.tested:
            return {"validation": scores}, {}, None
        return {"metric": "auc", "test": scores, "validation": scores}, {}, None

    monkeypatch.setattr(runs, "_stages", stages)
