"""`epochs: auto` counts in steps, and training stops where nothing gets better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grap_seq import config as configs
from grap_seq.training.budget import with_epochs
from grap_seq.training.pretrain import pretrain
from grap_seq.training.selection import Selection
from tests.training.saved import best

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1"]
# Batches of an epoch of 8 of the shop's sequences.
BATCHES = 6


def settings(*overrides: str) -> Any:
    return configs.compose("pretrain", [*SMALL, *overrides])


@pytest.mark.parametrize(
    ("overrides", "steps", "epochs"),
    [
        (["min_steps=3000"], 177, 17),
        (["min_steps=3000"], 3000, 4),
        (["min_steps=3000", "min_epochs=1"], 3000, 1),
        (["min_steps=3000", "min_epochs=1"], 2999, 2),
        (["min_steps=3000"], 5, 100),
        (["min_steps=3000", "max_epochs=7"], 5, 7),
        (["epochs=2"], 5, 2),
    ],
)
def test_the_fewest_epochs_that_make_the_steps(
    overrides: list[str], steps: int, epochs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings("epochs=auto", *overrides)
    assert with_epochs(config, steps).epochs == epochs
    said = capsys.readouterr().out
    if config.epochs == "auto":
        assert f"{epochs} epochs of {steps:,} steps make {epochs * steps:,} steps" in said
        assert ("fewer than min_steps=3,000" in said) == (epochs * steps < 3000)
    else:
        assert said == ""


def test_a_run_makes_as_many_steps_as_it_says(shop: Path, tmp_path: Path) -> None:
    options = ["batch_size=8", "epochs=auto", "min_epochs=1", "accumulate=2", "select=last"]
    run = pretrain(settings(*options, "min_steps=7", f"prepared={shop}", f"run={tmp_path / 'run'}"))
    assert pd.read_csv(run / "metrics.csv")["step"].tolist() == [3, 6, 9]
    assert configs.load(run / "config.yaml")["epochs"] == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("epochs=many", "epochs=many: write a whole number from 1 to 1000000, or auto"),
        ("epochs=0", "epochs=0: write a whole number from 1"),
        ("min_steps=0", "min_steps=0: write a whole number from 1"),
        ("batch_size=auto", "batch_size=auto: write a whole number"),
    ],
)
def test_only_epochs_may_be_automatic(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(argument)


def scored(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Let the probe give these scores; past their end it fails."""
    left = iter(scores)
    monkeypatch.setattr(Selection, "_probe", lambda self, module: next(left))


def test_training_stops_where_scores_no_longer_rise_and_keeps_the_best(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["batch_size=8", "epochs=20", "select=probe", "patience=2", "validate_every=2"]
    names = [f"prepared={shop}", f"run={tmp_path / 'run'}"]
    scored(monkeypatch, [0.5, 0.7, 0.6, 0.7])
    run = pretrain(settings(*options, *names))
    metrics = pd.read_csv(run / "metrics.csv")
    assert len(metrics) == 8
    assert best(run)["epoch"] == 3
    # Killed after its last epoch, it has nothing left to train.
    (run / "model.safetensors").unlink()
    scored(monkeypatch, [])
    pretrain(settings(*options, *names, "resume=true"))
    assert len(pd.read_csv(run / "metrics.csv")) == 8
    assert (run / "model.safetensors").is_file()


def test_patience_is_part_of_the_checkpoint(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["batch_size=8", "epochs=20", "select=probe", "patience=3"]
    names = [f"prepared={shop}", f"run={tmp_path / 'run'}"]
    # Stopped inside the third epoch, whose score for the time being counts for nothing.
    scored(monkeypatch, [0.6, 0.5, 0.9, 0.5, 0.5])
    pretrain(settings(*options, *names, f"trainer.max_steps={2 * BATCHES + 2}"))
    pretrain(settings(*options, *names, "resume=true"))
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 4
