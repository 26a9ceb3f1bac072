"""Tables whose methods have had the same number of trials each."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from grap_seq import commands
from grap_seq.experiments.job import Job
from tests.experiments.helpers import make, stub


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("churn", tmp_path_factory.mktemp("tuned"))


def options(job: Job) -> dict[str, str]:
    return dict(word.split("=", 1) for word in job.settings)


def reproduce(data: Path, output: Path, *words: str) -> pd.DataFrame:
    asked = ["table=1", "datasets=[churn]", "methods=[equal,gradnorm]", "seeds=3", "budget=smoke"]
    commands.reproduce([*asked, f"data={data}", f"output={output}", *words])
    return pd.read_parquet(output / "table_1_tuned_runs.parquet")


def test_every_method_has_as_many_trials_and_its_best_options(
    churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Job] = []
    tested: list[Job] = []

    def score(job: Job) -> float:
        (tested if job.tested else calls).append(job)
        # Small rates are best; what other seeds score decides nothing.
        return 1 - float(options(job)["lr"]) if "seed=0" in job.settings else 0.0

    stub(monkeypatch, score)
    frame = reproduce(churn, tmp_path, "tuned=4")
    assert len(calls) == 2 * 4
    # The table's runs, and the trials that were the best for a while; none of them twice.
    assert len({job.name for job in tested}) == len(tested)
    best = {f"{json.loads(text)[0]}" for text in frame["options"]}
    first = {job.name for job in tested if "seed=0" in job.settings}
    assert first <= {job.name for job in calls}
    assert best <= {word for job in tested for word in job.settings if "seed=0" in job.settings}
    assert len(tested) - len(first) == 2 * 2
    assert frame["method"].tolist() == ["equal", "gradnorm"] * 3
    for method, rows in frame.groupby("method"):
        trials = [one for one in calls if f"_{method}_0_" in one.name]
        rates = sorted(float(options(one)["lr"]) for one in trials)
        assert len({*rates}) == 4
        for text in rows["options"]:
            assert json.loads(text)[0] == f"lr={rates[0]}"
        assert rows["options"].nunique() == 1
        assert rows["search_trials"].tolist() == [4] * 3
        assert rows["search_validation"].tolist() == [1 - rates[0]] * 3
        # As it is, which was the first trial.
        assert rows["search_start"].tolist() == [1 - 0.001] * 3
        assert (rows["search_seconds"] > 0).all()
    assert [len(json.loads(text)) for text in frame["options"][:2]] == [1, 3]
    text = (tmp_path / "table_1_tuned.md").read_text("utf-8")
    assert "| churn | gru | GradNorm | lr=" in text
    # Done once.
    count = len(tested)
    reproduce(churn, tmp_path, "tuned=4")
    assert (len(calls), len(tested)) == (8, count)


def test_a_method_whose_trials_all_fail_is_failed_and_stops_nothing(
    churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(job: Job) -> float:
        if "gradnorm" in job.name:
            raise RuntimeError("no such luck")
        return 0.5

    stub(monkeypatch, score)
    frame = reproduce(churn, tmp_path, "tuned=2", "seeds=1")
    assert frame["state"].tolist() == ["done", "failed"]
    assert frame["search_trials"].tolist()[0] == 2
    assert frame["search_trials"].isna().tolist() == [False, True]


def test_what_is_left_is_listed(
    churn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stub(monkeypatch, lambda job: 0.5)
    asked = ["table=1", "datasets=[churn]", "methods=[equal]", "seeds=2", "budget=smoke"]
    asked += [f"data={churn}", f"output={tmp_path}", "tuned=2"]
    commands.reproduce([*asked, "--dry-run"])
    assert "before them 1 searches of 2 trials" in " ".join(capsys.readouterr().out.split())
    commands.reproduce(asked)
    capsys.readouterr()
    commands.reproduce([*asked, "--dry-run"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "before them 0 searches" in shown
    assert "0:00:00 left" in shown


def test_methods_without_a_search(churn: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tuned: equal_tuned has no search.*methods=\[dwa,equal"):
        reproduce(churn, tmp_path, "tuned=2", "table=6", "methods=[equal,equal_tuned]")
    assert not list(tmp_path.iterdir())
