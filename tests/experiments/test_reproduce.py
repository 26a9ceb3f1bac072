"""Whole grids: every dataset of the paper, killed and failing runs, two processes in one folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest

from grap_seq import commands
from grap_seq.experiments import runs
from grap_seq.experiments.job import Job
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.workers import work
from tests.experiments.helpers import make, stub
from tests.processes import command, process, together


@pytest.mark.parametrize(
    "dataset", ["churn", "agepred", "alfabattle", "mimic3", "taobao", "mbd_mini"]
)
def test_table_1_of_every_dataset_of_the_paper(dataset: str, tmp_path: Path) -> None:
    data, output = make(dataset, tmp_path), tmp_path / "results"
    asked = [f"datasets=[{dataset}]", "methods=[equal,grap]", "seeds=1", "budget=smoke"]
    commands.reproduce(["table=1", *asked, f"data={data}", f"output={output}"])
    frame = pd.read_parquet(output / "table_1_runs.parquet")
    assert frame["state"].tolist() == ["done", "done"], frame["error"].tolist()
    assert frame["method"].tolist() == ["equal", "grap"]
    assert frame["test_embedding"].between(0, 1).all()
    assert {"torch", "grap-seq"} <= json.loads(frame["made_by"][0]).keys()
    for ending in ("md", "csv", "html"):
        assert (output / f"table_1.{ending}").is_file()
    text = (output / "table_1.md").read_text("utf-8")
    assert f"{frame['test_embedding'][1]:.4f}" in text
    assert ("[" in text.partition("GraP |")[2]) == (dataset != "mbd_mini")


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("churn", tmp_path_factory.mktemp("grid"))


def cell(method: str, seed: int = 0) -> Job:
    return Experiment("churn", "gru", method, seed, "smoke").job(Path(), 1)


def scored(monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    """All runs succeed but those of DWA."""

    def score(job: Job) -> float:
        calls.append(job.name.split("_")[2])
        if calls[-1] == "dwa":
            raise RuntimeError("no such luck")
        return 0.5

    stub(monkeypatch, score)


def test_a_run_that_fails_stops_nothing_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    scored(monkeypatch, calls)
    grid = [cell("equal"), cell("dwa"), cell("grap")]
    for _ in range(2):
        work(grid, tmp_path)
    assert calls == ["equal", "dwa", "grap"]
    found = runs.outcome(tmp_path / cell("dwa").name)
    assert found is not None
    assert (found.state, found.error) == ("failed", "RuntimeError: no such luck")
    assert "Traceback" in (tmp_path / cell("dwa").name / "log.txt").read_text("utf-8")


def test_a_run_that_is_held_is_left_to_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, [])
    folder = tmp_path / cell("equal").name
    folder.mkdir()
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom grap_seq import lock\n"
        "with lock.locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert runs.do(cell("equal"), tmp_path) is None
        other.kill()
    found = runs.do(cell("equal"), tmp_path)
    assert found is not None
    assert found.state == "done"


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_by_its_run(root: Path) -> None:
    """In a process of its own."""
    with mock.patch.object(runs, "_stages", side_effect=kill):
        runs.do(cell("equal"), root)


@together
def test_a_run_that_kills_its_process_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in (1, 2):
        killed = process(killed_by_its_run, tmp_path)
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        found = runs.outcome(tmp_path / cell("equal").name)
        assert found is not None
        assert (found.state, found.attempts) == ("begun", attempt)
    scored(monkeypatch, [])
    found = runs.do(cell("equal"), tmp_path)
    assert found is not None
    assert (found.state, found.error) == ("failed", "its process was killed each time")


@together
def test_a_killed_grid_goes_on_and_two_processes_share_one(churn: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    words = ["reproduce", "table=6", "datasets=[churn]"]
    words += ["methods=[equal_tuned]", "seeds=2", "budget=smoke", f"data={churn}"]
    words += [f"output={output}"]
    first = command(words, tmp_path / "first")
    folder = output / "runs" / cell("equal").name
    while not (folder / "run" / "config.yaml").exists():
        assert first.exitcode is None
        time.sleep(0.05)
    first.kill()
    first.join()
    assert first.exitcode == -signal.SIGKILL
    both = [command(words, tmp_path / f"of_two{n}") for n in range(2)]
    for one in both:
        one.join(300)
    assert [one.exitcode for one in both] == [0, 0]
    frame = pd.read_parquet(output / "table_6_runs.parquet")
    assert frame["state"].tolist() == ["done", "done"]
    done = [runs.outcome(path) for path in sorted((output / "runs").iterdir())]
    assert [one.state for one in done if one is not None] == ["done"] * 4
    again = runs.outcome(folder)
    assert again is not None
    # Begun by the killed process and by one other, and nothing was done twice.
    assert again.attempts == 2
    assert sum(one.attempts for one in done if one is not None) == 5


def test_what_is_left_is_listed(
    churn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["table=1", "datasets=[churn]", "methods=[equal]", "seeds=2", "budget=smoke"]
    commands.reproduce([*asked, f"data={churn}", f"output={tmp_path}", "workers=0", "--dry-run"])
    shown = capsys.readouterr().out
    assert shown.count("to do") == 2
    assert "2 of unknown length" in shown
    assert not list(tmp_path.iterdir())


def test_a_loss_of_noise_is_trained_and_its_weight_is_in_the_table(
    churn: Path, tmp_path: Path
) -> None:
    asked = ["table=redundancy", "datasets=[churn]", "methods=[grap_noise4]", "seeds=1"]
    commands.reproduce(
        [*asked, "budget=smoke", "with.lr=0.01", f"data={churn}", f"output={tmp_path}"]
    )
    frame = pd.read_parquet(tmp_path / "table_redundancy_runs.parquet")
    assert {f"noise{n}" for n in range(4)} < json.loads(frame["weights"][0]).keys()
    assert "lr=0.01" in json.loads(frame["settings"][0])
    text = (tmp_path / "table_redundancy.md").read_text("utf-8")
    assert "| dataset | encoder | method | noise |" in text


def reproduce(data: Path, output: Path, *words: str) -> pd.DataFrame:
    asked = ["table=1", "datasets=[churn]", "methods=[equal,dwa]", "seeds=2", "budget=smoke"]
    commands.reproduce([*asked, f"data={data}", f"output={output}", *words])
    return pd.read_parquet(output / "table_1_runs.parquet")


def test_a_failed_run_is_listed_with_its_error_and_counts_for_nothing(
    churn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def score(job: Job) -> float:
        if "dwa_1" in job.name:
            raise RuntimeError("no such luck")
        return 0.25 if "dwa" in job.name else 0.5

    stub(monkeypatch, score)
    frame = reproduce(churn, tmp_path)
    assert frame["state"].tolist() == ["done", "done", "done", "failed"]
    assert frame["error"].tolist()[3] == "RuntimeError: no such luck"
    said = capsys.readouterr().out
    assert "churn, gru, dwa, seed 1 failed: RuntimeError: no such luck (see " in said
    text = (tmp_path / "table_1.md").read_text("utf-8")
    assert "0.2500 (1, 1 failed)" in text


def test_two_grids_in_one_folder_share_no_run_but_the_same(
    churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, lambda job: 0.9 if "lr=0.01" in job.settings else 0.5)
    first = reproduce(churn, tmp_path)
    other = reproduce(churn, tmp_path, "with.lr=0.01")
    assert first["test_embedding"].tolist() == [0.5] * 4
    assert other["test_embedding"].tolist() == [0.9] * 4
    assert not {*first["run"]} & {*other["run"]}
    # What was done is taken: nothing is scored again.
    stub(monkeypatch, lambda job: float("nan"))
    assert reproduce(churn, tmp_path)["test_embedding"].tolist() == [0.5] * 4


def test_another_evaluation_trains_nothing_again(churn: Path, tmp_path: Path) -> None:
    few = ("methods=[equal]", "seeds=1")
    first = reproduce(churn, tmp_path, *few)
    model = tmp_path / "runs" / first["run"][0] / "run" / "model.json"
    trained = model.stat().st_mtime_ns
    folds = reproduce(churn, tmp_path, *few, "folds=2")
    assert folds["run"].tolist() == first["run"].tolist()
    assert model.stat().st_mtime_ns == trained
    assert folds["val_embedding"].isna().all()
    assert first["val_embedding"].notna().all()
    assert folds["test_embedding"][0] != first["test_embedding"][0]
    found = runs.outcome(model.parents[1])
    assert found is not None
    assert found.seconds is not None
    # Its training counts, although it was done before.
    assert found.seconds > folds["training_seconds"][0] == first["training_seconds"][0]
    # And the first one's scores are as they were.
    pd.testing.assert_frame_equal(reproduce(churn, tmp_path, *few), first)


def test_a_run_of_another_version_is_named(tmp_path: Path) -> None:
    folder = tmp_path / cell("equal").name
    folder.mkdir()
    content = {"state": "done", "attempts": 1, "result": {"test": {"embedding": 0.5}}}
    (folder / "outcome.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=r"outcome.json was .* another version .* or delete"):
        work([cell("equal")], tmp_path)


def test_runs_of_two_commits_in_one_cell_are_marked(
    churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, lambda job: 0.5)
    monkeypatch.setattr(runs, "made_by", lambda: {"commit": "one"})
    reproduce(churn, tmp_path, "seeds=1")
    monkeypatch.setattr(runs, "made_by", lambda: {"commit": "two"})
    frame = reproduce(churn, tmp_path)
    assert [json.loads(text)["commit"] for text in frame["made_by"]] == ["one", "one", "two", "two"]
    assert (tmp_path / "table_1.md").read_text("utf-8").count("0.5000 ± 0.0000* (2)") == 2
    reproduce(churn, tmp_path, "seeds=1")
    assert "0.5000*" not in (tmp_path / "table_1.md").read_text("utf-8")


def test_a_run_that_another_commit_goes_on_with_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(job: Job) -> float:
        raise KeyboardInterrupt

    for commit, score in (("one", interrupt), ("two", interrupt), ("two", lambda job: 0.5)):
        stub(monkeypatch, score)
        monkeypatch.setattr(runs, "made_by", lambda commit=commit: {"commit": commit})
        with contextlib.suppress(KeyboardInterrupt):
            runs.do(cell("equal"), tmp_path)
    found = runs.outcome(tmp_path / cell("equal").name)
    assert found is not None
    # An interrupt is no attempt that failed.
    assert (found.state, found.attempts) == ("done", 1)
    assert (found.begun_by, found.made_by) == ({"commit": "one"}, {"commit": "two"})


def test_a_full_disk_stops_the_grid_and_is_no_failure_of_its_runs(
    churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def full(job: Job) -> float:
        calls.append(job.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    stub(monkeypatch, full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            reproduce(churn, tmp_path)
    # The first run, each time: the others would have the same luck.
    assert len(calls) == 3
    assert len({*calls}) == 1
    stub(monkeypatch, lambda job: 0.5)
    assert reproduce(churn, tmp_path)["state"].tolist() == ["done"] * 4
