"""What a method drops, by hand and in runs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from grap_seq import commands
from grap_seq.experiments import dropped as module
from grap_seq.experiments.dropped import dropped, shares, without
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.runs import Outcome
from tests.experiments.helpers import make


def test_shares_are_medians_over_runs_of_weights_by_their_mean() -> None:
    runs = [
        {"a": 0.0, "b": 1.0, "c": 2.0},
        {"a": 2.0, "b": 2.0, "c": 2.0},
        # Ten times the length, as without normalization.
        {"a": 1.0, "b": 9.0, "c": 50.0},
        # It says nothing of shares.
        {"a": 0.0, "b": 0.0, "c": 0.0},
    ]
    assert shares(runs) == pytest.approx({"a": 0.05, "b": 1.0, "c": 2.0})
    assert dropped(runs) == pytest.approx({"a": 0.05})
    assert dropped([]) == dropped(runs[3:]) == {}


def grap(dataset: str, seed: int) -> Experiment:
    return Experiment(dataset, "gru", "grap", seed, "smoke", ("lr=0.1",), folds=5)


def test_every_seed_leaves_out_what_all_seeds_together_drop() -> None:
    found = {
        grap("churn", 0): Outcome("done", 1, weights={"a": 0.0, "b": 1.0}),
        grap("churn", 1): Outcome("done", 1, weights={"a": 0.0, "b": 1.0}),
        grap("churn", 2): Outcome("done", 1, weights={"a": 1.0, "b": 1.0}),
        grap("churn", 3): Outcome("failed", 1),
        grap("taobao", 0): Outcome("done", 1, weights={"a": 1.0, "b": 1.0}),
        Experiment("churn", "gru", "equal", 0): Outcome("done", 1, weights={"a": 1.0, "b": 0.0}),
    }
    planned = without(found, ["equal", "grap", "equal_without", "grap_without"])
    assert [(one.method, one.seed) for one in planned] == [
        (name, seed) for name in ("equal_without", "grap_without") for seed in range(4)
    ]
    assert {one.dataset for one in planned} == {"churn"}
    assert all('objective.without=["a"]' in one.training for one in planned)
    assert all("lr=0.1" in one.training for one in planned)
    # Scored as what they are compared with.
    assert all("folds=5" in one.evaluation for one in planned)
    assert "weighting=equal" in planned[0].training
    assert without(found, ["equal", "grap"]) == []


def test_what_is_dropped_is_removed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make("churn", tmp_path)
    # Two steps drop nothing: half of the losses lies below the mean.
    monkeypatch.setattr(module, "BOUND", 1.0)
    asked = ["table=redundancy", "datasets=[churn]", "methods=[grap,grap_without]", "seeds=1"]
    command = [*asked, "budget=smoke", "with.weighting.lr=0.3", f"data={data}"]
    commands.reproduce([*command, f"output={tmp_path}"])
    frame = pd.read_parquet(tmp_path / "table_redundancy_runs.parquet")
    assert frame["method"].tolist() == ["grap", "grap_without"], frame["error"].tolist()
    before, after = map(json.loads, frame["weights"])
    low = {name for name, value in before.items() if value < sum(before.values()) / len(before)}
    assert 0 < len(low) < len(before)
    assert before.keys() - after.keys() == low
    text = (tmp_path / "table_redundancy.md").read_text("utf-8")
    assert "| dataset | encoder | method | dropped | losses |" in text
    assert f"| {len(low)} of {len(before)} |" in text
    assert "GraP, without the losses that GraP drops" in text
