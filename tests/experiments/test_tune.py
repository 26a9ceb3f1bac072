"""The search for weights: it goes on, shares its trials, and finds what is planted."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from grap_seq import cli
from grap_seq import config as configs
from grap_seq.experiments import tune as module
from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import Outcome
from grap_seq.experiments.tune import TUNED, tune
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    raw = synth("churn", folder / "raw", 6000, 0)
    prepare("churn", folder / "data" / "churn", source=raw)
    return folder / "data"


def settings(data: Path, output: Path, *more: str) -> Any:
    given = ["dataset=churn", f"data={data}", f"output={output}", "budget=smoke", *more]
    return configs.compose("tune", given)


def planted(monkeypatch: pytest.MonkeyPatch, calls: list[dict[str, float]]) -> None:
    """Runs whose score is best where all losses weigh 0.1; the second one fails."""

    def run(job: Job, _: Path) -> Outcome:
        (told,) = (text for text in job.settings if text.startswith("weighting.weights="))
        weights = yaml.safe_load(told.partition("=")[2])
        calls.append(weights)
        if len(calls) == 2:
            return Outcome("failed", 1, error="no such luck")
        distance = sum(math.log(weight / 0.1) ** 2 for weight in weights.values())
        result = {"validation": {"embedding": -distance}, "test": {"embedding": 0.5}}
        return Outcome("done", 1, seconds=2.0, result=result)

    monkeypatch.setattr(module, "do", run)


def test_what_is_planted_is_found_and_equal_weights_come_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, float]] = []
    planted(monkeypatch, calls)
    found = tune(settings(data, tmp_path, "trials=20"))
    assert set(calls[0].values()) == {1.0}
    assert found["equal"] == pytest.approx(-len(calls[0]) * math.log(0.1) ** 2)
    assert found["validation"] > found["equal"]
    assert found["weights"] in calls
    assert (found["trials"], found["failed"]) == (19, 1)
    assert (found["seconds"], found["runs"]) == (38.0, 19.0)
    assert json.loads((tmp_path / TUNED).read_text("utf-8")) == found
    for ending in ("svg", "png"):
        assert (tmp_path / f"search_churn_gru.{ending}").is_file()
    with pytest.raises(ValueError, match="has no finished run with .* weighting=grap"):
        tune(settings(data, tmp_path, "trials=20", f"beside={tmp_path}"))


def test_a_search_goes_on_and_takes_no_other_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, float]] = []
    planted(monkeypatch, calls)
    for trials, done in ((3, 3), (3, 3), (5, 5)):
        tune(settings(data, tmp_path, f"trials={trials}"))
        assert len(calls) == done
    with pytest.raises(ValueError, match="holds a search with another encoder; choose another"):
        tune(settings(data, tmp_path, "encoder=transformer"))


def test_two_processes_search_for_real(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke"]
    cli.tune([*asked, "trials=3", "workers=2", "sampler=random", "learning_rate=true"])
    found = json.loads((tmp_path / TUNED).read_text("utf-8"))
    assert 3 <= found["trials"] <= 4
    assert 0 <= found["validation"] <= 1
    said = capsys.readouterr().out.rpartition("Next: ")[2]
    assert shlex.split(said) == ["grap-seq", "pretrain", *found["settings"]]
    config = configs.compose("pretrain", found["settings"])
    assert dict(config.weighting.weights) == found["weights"]
    assert any(word.startswith("lr=") for word in found["settings"])
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == [f"{number:04d}" for number in range(found["trials"])]


def test_a_dataset_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grap-seq prepare dataset=churn source="):
        tune(settings(tmp_path, tmp_path / "out"))
