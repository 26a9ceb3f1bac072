"""Which trackers a setting means."""

from __future__ import annotations

from pathlib import Path

import pytest

from grap_seq import cli, commands, trackers


def test_each_once_and_the_own_files_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: pytest.__spec__)
    assert trackers.chosen("csv") == ()
    assert trackers.chosen("mlflow") == ("mlflow",)
    assert trackers.chosen(["wandb", "csv", "mlflow", "wandb"]) == ("wandb", "mlflow")


def test_a_missing_package_is_one_line_before_anything_is_written(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    run = tmp_path / "run"
    words = ["pretrain", "dataset=table", f"prepared={shop}", f"run={run}", "tracker=wandb"]
    monkeypatch.setattr("sys.argv", ["grap-seq", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "tracker=wandb: its package is not installed; pip install 'grap-seq[wandb]'"
    )
    assert not run.exists()


def test_a_folder_of_that_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tracker_of_nobody").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="not installed"):
        trackers.chosen("tracker_of_nobody")


@pytest.mark.parametrize("value", ["tracker=neptune", "tracker=[mlflow,neptune]", "tracker=7"])
def test_other_names_are_refused(shop: Path, tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        commands.pretrain(["dataset=table", f"prepared={shop}", f"run={tmp_path / 'run'}", value])
