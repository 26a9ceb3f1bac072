"""The estimate and the bar of a whole run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from grap_seq import config as configs
from grap_seq.training.checkpoints import Checkpoints
from grap_seq.training.progress import WholeRun, spoken
from grap_seq.training.trainer import build_trainer
from tests.training.test_trainer import Net


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 s"),
        (4.2, "4.2 s"),
        (40.4, "40 s"),
        (99.0, "99 s"),
        (100.0, "1.7 min"),
        (754.0, "13 min"),
        (5900.0, "98 min"),
        (6000.0, "1.7 h"),
        (86400.0, "24 h"),
    ],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


def run(folder: Path, *overrides: str, batches: int = 30) -> WholeRun:
    config = configs.compose("pretrain", ["trainer.threads=1", *overrides])
    trainer = build_trainer(config, [Checkpoints(folder, "last")], "")
    (found,) = (c for c in trainer.callbacks if isinstance(c, WholeRun))  # type: ignore[attr-defined]
    loader: Any = torch.utils.data.DataLoader(torch.ones(batches, 1))  # type: ignore[arg-type]
    trainer.fit(Net(), loader)
    return found


def test_the_estimate_is_batches_times_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A clock on which every batch takes two seconds; the first ones are slow.
    ticks = iter([*range(0, 100, 10), *range(100, 10_000, 2)])
    monkeypatch.setattr("grap_seq.training.progress.perf_counter", lambda: next(ticks))
    run(tmp_path, "epochs=4")
    said = " ".join(capsys.readouterr().out.split())
    # Of 120 batches 21 are done: the first of an epoch has none before it.
    assert "About 3.3 min to train, at 2 s a batch: 99 batches are left" in said


@pytest.mark.parametrize(
    ("overrides", "left"), [(["trainer.max_steps=50"], 29), (["accumulate=2"], 99)]
)
def test_the_estimate_knows_where_a_run_stops(
    tmp_path: Path, overrides: list[str], left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "epochs=4", *overrides)
    assert f"{left} batches are left" in " ".join(capsys.readouterr().out.split())


def test_epochs_of_few_batches_are_timed_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "epochs=9", batches=5)
    # Four intervals an epoch: the twentieth ends the fifth.
    assert "20 batches are left" in " ".join(capsys.readouterr().out.split())


def test_the_bar_is_of_the_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    shown = WholeRun()
    monkeypatch.setattr("grap_seq.training.trainer.WholeRun", lambda *_: shown)
    run(tmp_path, "epochs=3", batches=10)
    assert shown.bar is not None
    (task,) = shown.bar.tasks
    assert (task.completed, task.total) == (30, 30)
    assert not shown.bar.live.is_started
