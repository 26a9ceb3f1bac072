"""Trials that are ended early: by a real run, and what they count for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pandas as pd
import pytest

from grap_seq import commands
from grap_seq import config as configs
from grap_seq.experiments.job import Job
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.pruning import Prune, Pruned, scoring
from grap_seq.experiments.runs import do, outcome
from grap_seq.experiments.search_picture import Scored, progress
from grap_seq.experiments.tune import tune
from grap_seq.training.watching import watching
from tests.experiments.helpers import make, stub

SETTINGS = ("select=probe", "epochs=3", "trainer.max_steps=-1", "validate_every=2", "batch_size=64")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("churn", tmp_path_factory.mktemp("pruning"))


def trials_of(folder: Path) -> list[Any]:
    """Of the only study in a folder's journal."""
    file = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(file))
    return study.get_trials()


class Below(optuna.pruners.BasePruner):
    """Ends every trial that has told a score, and keeps what it was told."""

    def prune(self, study: Any, trial: Any) -> bool:
        self.told = trial.intermediate_values
        return True


def test_a_run_ends_behind_the_epoch_that_is_behind_and_can_go_on(
    data: Path, tmp_path: Path
) -> None:
    pruner = Below()
    trial = optuna.create_study(direction="maximize", pruner=pruner).ask()
    one = Experiment("churn", "gru", "equal", 0, "smoke", SETTINGS).job(data, 1)
    with pytest.raises(Pruned), watching(Prune(trial)):
        do(one, tmp_path)
    begun = outcome(tmp_path / one.name)
    assert begun is not None
    # It has not failed, and may be tried as often as before.
    assert (begun.state, begun.attempts, begun.error) == ("begun", 0, None)
    rows = pd.read_csv(tmp_path / one.name / "run" / "metrics.csv")
    # The first epoch has no score, and says nothing.
    assert len(rows) == 2
    assert pruner.told == {1: pytest.approx(rows["val_probe"][1], abs=1e-6)}
    found = do(one, tmp_path)
    assert found is not None
    assert found.state == "done"
    assert len(pd.read_csv(tmp_path / one.name / "run" / "metrics.csv")) == 3


@pytest.mark.parametrize(("every", "told"), [(1, False), (2, True), (3, True)])
def test_a_search_that_can_end_no_run_early_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], every: int, told: bool
) -> None:
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke", "trials=2"]
    whole = ["with.epochs=2", "with.trainer.max_steps=-1", "with.batch_size=64"]
    commands.tune([*asked, "search=equal", "pruner=median", *whole, f"with.validate_every={every}"])
    assert capsys.readouterr().out.count("pruner=median can end no trial") == told


def test_pruned_trials_are_counted_and_paid_for(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Job] = []

    def score(job: Job) -> float:
        if job.tested:
            return 0.9
        calls.append(job)
        if len(calls) in (2, 4):
            raise Pruned
        return 0.5 + len(calls) / 100

    stub(monkeypatch, score)
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke", "trials=6"]
    found, path = tune(configs.compose("tune", [*asked, "search=equal", "pruner=median"]))
    assert all("select=probe" in job.settings for job in calls)
    assert (len(calls), found.trials, found.pruned, found.failed) == (6, 4, 2, 0)
    assert found.validation == 0.56
    said = re.findall(r"trial (\d) of 6: (was ended|0\.5\d)", capsys.readouterr().out)
    ended = dict.fromkeys((2, 4), "was ended")
    assert said == [(str(n), ended.get(n, f"0.5{n}")) for n in range(1, 7)]
    kept = json.loads(path.read_text("utf-8"))
    assert kept["pruned"] == 2
    took: dict[str, list[float]] = {one.state.name: [] for one in trials_of(tmp_path)}
    for one in trials_of(tmp_path):
        took[one.state.name].append(one.user_attrs["seconds"])
    assert {name: len(of) for name, of in took.items()} == {"COMPLETE": 4, "PRUNED": 2}
    assert found.seconds == pytest.approx(sum(sum(of) for of in took.values()))
    assert found.runs == pytest.approx(found.seconds / median(took["COMPLETE"]))
    # They are not tried again.
    again, same = tune(configs.compose("tune", [*asked, "search=equal", "pruner=median"]))
    assert (again.trials, again.pruned, same, len(calls)) == (4, 2, path, 6)
    # Without a pruner it is another search.
    other, elsewhere = tune(configs.compose("tune", [*asked, "search=equal"]))
    assert (other.trials, elsewhere != path) == (6, True)


def test_a_search_of_epochs_that_are_scored_prunes_for_real(data: Path, tmp_path: Path) -> None:
    asked = ["dataset=churn", f"data={data}", f"output={tmp_path}", "budget=smoke"]
    rate = "search.space=['lr=tag(log, interval(0.000001, 1))']"
    # An epoch that is cut short has no score.
    whole = ["with.trainer.max_steps=-1", "with.validate_every=1", "with.batch_size=64"]
    commands.tune([*asked, "trials=12", "pruner=median", "search=equal", rate, *whole])
    finished: list[float] = []
    states = []
    for one in trials_of(tmp_path):
        (told,) = one.intermediate_values.values()
        behind = len(finished) >= 5 and told < median(finished)
        assert one.state.name == ("PRUNED" if behind else "COMPLETE")
        states.append(one.state.name)
        if not behind:
            finished.append(told)
    assert {*states} == {"COMPLETE", "PRUNED"}
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text("utf-8"))
    assert [found["trials"], found["pruned"]] == [states.count(n) for n in ("COMPLETE", "PRUNED")]
    assert "select=probe" in found["settings"]


def test_cost_and_best_of_a_search_with_pruned_trials() -> None:
    found = progress(
        [
            Scored(None, None, 1.0),
            Scored(0.5, 0.6, 4.0),
            Scored(None, None, 2.0),
            Scored(0.4, None, 4.0),
        ]
    )
    # By hand, in trials of 4 seconds.
    assert found.cost == [0.25, 1.25, 1.75, 2.75]
    assert found.validation == [None, 0.5, 0.5, 0.5]
    assert found.test == [None, 0.6, 0.6, 0.6]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("select=loss", r"leave out with\.select=loss, or use pruner=none"),
        ("trainer=ddp2_cpu", r"runs of one process: use pruner=none"),
    ],
)
@pytest.mark.parametrize("method", ["equal", "fixed"])
def test_what_cannot_be_pruned_is_said(setting: str, message: str, method: str) -> None:
    with pytest.raises(ValueError, match=message):
        scoring(Experiment("churn", "gru", method, 0, "smoke", (setting,)))


def test_the_probe_is_told_once() -> None:
    one = Experiment("churn", "gru", "equal", 0, "smoke", ("select=probe", "lr=0.1"))
    assert scoring(one) == ("select=probe", "lr=0.1")
    # Of the search that `tune` has by default, too.
    assert scoring(Experiment("churn", "gru", "fixed", 0)) == ("select=probe",)
