"""What runs should take: finished ones before epochs of begun ones, and alike ones only."""

from __future__ import annotations

from pathlib import Path

from grap_seq.experiments.estimate import expected, of_epochs
from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import Outcome


def job(name: str, alike: str = "flights, gru") -> Job:
    return Job(name=name, title=name, alike=alike, settings=())


def begin(root: Path, name: str, seconds: list[float], epochs: int) -> None:
    run = root / name / "run"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(f"epochs: {epochs}\n")
    rows = "".join(f"{epoch},{(epoch + 1) * 50},{one}\n" for epoch, one in enumerate(seconds))
    (run / "metrics.csv").write_text(f"epoch,step,seconds\n{rows}")


def test_finished_runs_of_the_same_kind_count(tmp_path: Path) -> None:
    begin(tmp_path, "c", [999.0], 2)
    known: dict[Job, Outcome | None] = {
        job("a"): Outcome("done", 1, seconds=100.0),
        job("b"): Outcome("done", 1, seconds=140.0),
        # It ended early and says nothing.
        job("f"): Outcome("failed", 1),
        job("c"): Outcome("begun", 1),
        job("d"): None,
        job("other", "churn, gru"): None,
    }
    found = expected(known, tmp_path)
    assert {one.name: value for one, value in found.runs.items()} == {
        "c": (120.0, "2 finished"),
        "d": (120.0, "2 finished"),
        "other": None,
    }
    assert found.text(1) == "0:04:00 left, 1 of unknown length left"
    assert found.text(2) == "0:02:00 left, 1 of unknown length left"
    # A run is not shared.
    assert found.text(500) == "0:01:20 left, 1 of unknown length left"


def test_before_that_the_first_epochs_of_a_begun_one(tmp_path: Path) -> None:
    begin(tmp_path, "a", [10.0, 20.0], 8)
    (tmp_path / "b" / "run").mkdir(parents=True)
    assert of_epochs(tmp_path / "b" / "run") is None
    known: dict[Job, Outcome | None] = {
        job("a"): Outcome("begun", 1),
        job("b"): Outcome("begun", 1),
        job("c"): None,
    }
    found = expected(known, tmp_path)
    assert set(found.runs.values()) == {(120.0, "100 steps of a begun one")}
    assert found.text(1) == "0:06:00 left"


def test_nothing_is_left_and_nothing_is_known(tmp_path: Path) -> None:
    assert expected({job("a"): Outcome("done", 1, seconds=1.0)}, tmp_path).text(2) == "0:00:00 left"
    assert expected({job("a"): None}, tmp_path).text(2) == "1 of unknown length left"
