"""The search for weights and options: it goes on, shares its trials, and finds what is planted."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from grap_seq import choices, commands
from grap_seq import config as configs
from grap_seq.experiments import run_search, runs, trials
from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import Outcome, outcome
from grap_seq.experiments.tune import tune
from tests.experiments.helpers import make
from tests.processes import process, together


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("churn", tmp_path_factory.mktemp("tune"))


def settings(data: Path, output: Path, *more: str) -> Any:
    given = ["dataset=churn", f"data={data}", f"output={output}", "budget=smoke", *more]
    return configs.compose("tune", given)


def planted(
    monkeypatch: pytest.MonkeyPatch,
    calls: list[dict[str, Any]],
) -> tuple[dict[str, float], list[str]]:
    """Runs whose score is best where all numbers that are tried are 0.1; the second one fails.

    Returns scores by the run's name, and the names of those that are evaluated as a whole.
    """
    scores: dict[str, float] = {}
    tested: list[str] = []

    def run(job: Job, _: Path) -> Outcome:
        told = dict(word.split("=", 1) for word in job.settings)
        tried = yaml.safe_load(told.get("weighting.weights", "{}"))
        tried |= {key: float(told[key]) for key in ("lr", "weighting.alpha") if key in told}
        calls.append(tried)
        if len(calls) == 2:
            return Outcome("failed", 1, error="no such luck")
        distance = sum(math.log(value / 0.1) ** 2 for value in tried.values())
        assert not job.tested
        scores[job.name] = -distance
        result = {"validation": {"embedding": -distance}}
        return Outcome("done", 1, seconds=2.0, asked=job.asked, results={job.asked: result})

    def work(jobs: Sequence[Job], _: Path) -> None:
        assert all(job.tested for job in jobs)
        tested[:] = [job.name for job in jobs]

    monkeypatch.setattr(trials, "do", run)
    monkeypatch.setattr(run_search, "work", work)
    return scores, tested


def test_what_is_planted_is_found_and_equal_weights_come_first(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[dict[str, Any]] = []
    scores, tested = planted(monkeypatch, calls)
    found, path = tune(settings(data, tmp_path, "trials=20"))
    assert set(calls[0].values()) == {1.0}
    assert found.start == pytest.approx(-len(calls[0]) * math.log(0.1) ** 2)
    assert found.start is not None
    assert found.validation > found.start
    assert found.weights in calls
    assert (found.trials, found.failed) == (19, 1)
    assert (found.seconds, found.runs) == (38.0, 19.0)
    said = " ".join(capsys.readouterr().out.split())
    first = f"trial 1 of 20: {found.start:.4f} on validation data after 0:00:02, the best has"
    assert f"{first} {found.start:.4f}; 0:00:38 left for one process." in said
    assert f", the best has {found.validation:.4f}; 0:00:00 left for one process." in said
    assert re.search(r"trial \d+ of 20: failed: .*?; \S+ left for one process\.", said)
    # Test data see the trials that were ahead of all before them, and no other.
    ahead = [
        name
        for number, (name, score) in enumerate(scores.items())
        if all(score > before for before in list(scores.values())[:number])
    ]
    assert 1 < len(ahead) < 19
    assert tested == ahead
    assert json.loads(path.read_text("utf-8"))["weights"] == found.weights
    for ending in ("svg", "png"):
        assert (tmp_path / f"search_churn_gru.{ending}").is_file()
    with pytest.raises(ValueError, match=r"has no finished run with .* weighting=grap"):
        tune(settings(data, tmp_path, "trials=20", f"beside={tmp_path}"))


def test_a_methods_own_options_begin_with_the_method_as_it_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    planted(monkeypatch, calls)
    space = "search.space=['lr=tag(log, interval(0.0001,1))','weighting.alpha=interval(0.01,3)']"
    found, _ = tune(settings(data, tmp_path, "search=gradnorm", space, "trials=25"))
    alone = configs.compose("pretrain", ["dataset=churn", "weighting=gradnorm"])
    assert calls[0] == {"lr": alone.lr, "weighting.alpha": alone.weighting.alpha}
    assert found.method == "gradnorm"
    assert len(calls) == 25
    best = configs.compose("pretrain", [*found.settings])
    assert best.weighting.name == "gradnorm"
    assert [f"lr={best.lr}", f"weighting.alpha={best.weighting.alpha}"] == [*found.options]
    assert found.start is not None
    assert found.validation > found.start / 2


def test_a_search_goes_on_and_others_of_the_folder_are_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    planted(monkeypatch, calls)
    paths = set()
    for many, done in ((3, 3), (3, 3), (5, 5)):
        found, path = tune(settings(data, tmp_path, f"trials={many}"))
        assert len(calls) == done
        paths.add(path)
    assert len(paths) == 1
    # Other settings, with which nothing of it is mixed.
    found, path = tune(settings(data, tmp_path, "with.epochs=2", "trials=3"))
    assert len(calls) == 5 + 3
    assert found.trials == 3
    assert path not in paths


def test_two_processes_search_for_real(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke"]
    rate = "also=['lr=tag(log, interval(0.0001, 0.01))']"
    commands.tune([*asked, "trials=3", "workers=2", "sampler=random", rate])
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text("utf-8"))
    assert found["trials"] == 3
    assert 0 <= found["validation"] <= 1
    assert 0 <= found["test"] <= 1
    folders = list((tmp_path / "runs").iterdir())
    whole = [folder for folder in folders if (folder / "run" / "evaluation.json").is_file()]
    assert 1 <= len(whole) <= 3
    for folder in whole:
        content = json.loads((folder / "run" / "evaluation.json").read_text("utf-8"))
        ended = outcome(folder)
        assert ended is not None
        assert ended.result == content
        assert ended.cost is not None
        # Of its training, which an evaluation does not repeat.
        assert ended.cost["seconds"] >= ended.cost["epoch_seconds"]
    # The score that chooses is the evaluation's own, up to the rounding of other batches.
    best = max(whole, key=lambda folder: (folder / "run" / "evaluation.json").stat().st_mtime_ns)
    content = json.loads((best / "run" / "evaluation.json").read_text("utf-8"))
    assert content["test"]["embedding"] == found["test"]
    assert content["validation"]["embedding"] == pytest.approx(found["validation"], abs=0.02)
    said = capsys.readouterr().out.rpartition("Next: ")[2]
    assert shlex.split(said) == ["grap-seq", "pretrain", *found["settings"]]
    config = configs.compose("pretrain", found["settings"])
    assert dict(config.weighting.weights) == found["weights"]
    assert any(word.startswith("lr=") for word in found["settings"])
    assert len(folders) == 3


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_by_its_run(asked: list[str]) -> None:
    """In a process of its own."""
    with mock.patch.object(runs, "_stages", side_effect=kill):
        commands.tune(asked)


@together
def test_a_trial_of_a_killed_process_is_begun_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke"]
    asked += ["search=equal", "trials=2"]
    killed = process(killed_by_its_run, asked)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (folder,) = (tmp_path / "runs").iterdir()
    monkeypatch.setattr(trials, "PATIENCE", 0.0)
    commands.tune(asked)
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text("utf-8"))
    assert (found["trials"], found["failed"]) == (2, 0)
    # It was the first one, of the method as it is.
    again = outcome(folder)
    assert again is not None
    assert again.state == "done"
    assert again.result is not None
    # It was the first, and so the best for a while: test data have seen it too.
    assert again.result["validation"]["embedding"] == pytest.approx(found["start"], abs=0.02)


@pytest.mark.parametrize("name", choices.names("search"))
def test_every_search_begins_within_its_space(data: Path, tmp_path: Path, name: str) -> None:
    from grap_seq.experiments.plan import Experiment
    from grap_seq.experiments.space import space_of

    chosen = configs.compose("tune", [f"search={name}"]).search
    one = Experiment("churn", "gru", chosen.method, 0)
    space = space_of(one, chosen.space, chosen.each_loss, data / "churn")
    assert space.start.keys() == space.searched.keys()
    configs.compose("pretrain", [*one.training, *space.typed(space.start)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search.space=['lr=0.01']", "search=equal"], "nothing to search"),
        (["also=['lr=interval(1,2)']"], "lr is 0.001, which is not in .*; widen it"),
        (["also=['lr=interval(1']"], "lr=interval"),
        (["also=['learning=interval(0,1)']"], "no setting 'learning'"),
        (["also=['lr=interval(0.0001,1)']", "with.lr=0.1"], "with.lr: the runs set it themselves"),
        (["search=garp"], "search=garp: did you mean 'grap'"),
    ],
)
def test_what_cannot_be_searched(
    data: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tune(settings(data, tmp_path, *words))
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grap-seq prepare dataset=churn source="):
        tune(settings(tmp_path, tmp_path / "out"))
