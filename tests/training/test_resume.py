"""A run that is really killed and continued equals one that was never interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from grap_seq import cli
from grap_seq import config as configs
from grap_seq.training.run_folder import open_run

EPOCHS = 6


def arguments(shop: Path, run: Path) -> list[str]:
    return [
        *("dataset=table", f"prepared={shop}", f"run={run}", f"epochs={EPOCHS}", "batch_size=8"),
        *("log_every=1", "dataset.hidden=8", "event_width=8", "select=loss", "trainer.threads=1"),
    ]


def kill_after(epochs: int, process: subprocess.Popen[bytes], run: Path) -> None:
    """SIGKILL once the metrics hold so many epochs: somewhere inside the next one."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        metrics = run / "metrics.csv"
        if metrics.is_file() and len(metrics.read_text().splitlines()) > epochs:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.01)
    pytest.fail("the run ended before it could be killed")


def test_killed_and_resumed_run_is_bit_equal(shop: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    cli.pretrain(arguments(shop, whole))
    program = [sys.executable, "-W", "ignore", "-m", "grap_seq", "pretrain"]
    with subprocess.Popen([*program, *arguments(shop, broken)]) as process:
        kill_after(2, process, broken)
    assert not (broken / "model.safetensors").exists()
    cli.pretrain([*arguments(shop, broken), "resume=true"])

    expected, got = (load_file(run / "model.safetensors") for run in (whole, broken))
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert tensor.equal(got[name]), name
    expected_weights, got_weights = (
        pd.read_parquet(run / "weights.parquet") for run in (whole, broken)
    )
    pd.testing.assert_frame_equal(expected_weights, got_weights)
    timings = ["seconds", "events_per_second"]
    expected_metrics, got_metrics = (
        pd.read_csv(run / "metrics.csv").drop(columns=timings) for run in (whole, broken)
    )
    pd.testing.assert_frame_equal(expected_metrics, got_metrics)
    assert len(got_metrics) == EPOCHS


def settings(run: Path, *extra: str) -> object:
    return configs.compose("pretrain", ["dataset=table", f"run={run}", *extra])


def test_existing_runs_are_refused_and_replaced_only_on_request(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert open_run(run, settings(run)) is None
    with pytest.raises(FileExistsError, match="resume=true to continue"):
        open_run(run, settings(run))
    (run / "model.safetensors").touch()
    with pytest.raises(FileExistsError, match="overwrite=true"):
        open_run(run, settings(run))
    assert open_run(run, settings(run, "overwrite=true")) is None
    # The finished run waits beside the new one, which has not replaced it yet.
    assert (tmp_path / "run.previous" / "model.safetensors").exists()
    open_run(run, settings(run, "overwrite=true"))
    assert (tmp_path / "run.previous" / "model.safetensors").exists()


def test_overwrite_leaves_folders_alone_that_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a run folder"):
        open_run(tmp_path, settings(tmp_path, "overwrite=true"))
    assert (tmp_path / "thesis.txt").exists()


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, settings(run))
    (run / "checkpoints").mkdir()
    torch.save({}, run / "checkpoints" / "last.ckpt")
    assert open_run(run, settings(run, "resume=true")) == run / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match="seed"):
        open_run(run, settings(run, "resume=true", "seed=7"))


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ("precision=bf16-mixed", True),
        ("matmul_precision=high", True),
        ("compile=true", True),
        ("accelerator=gpu", True),
        ("max_steps=100", False),
        ("workers=2", False),
        ("threads=2", False),
    ],
)
def test_resume_compares_what_of_the_trainer_changes_the_result(
    tmp_path: Path, changed: str, refused: bool
) -> None:
    run = tmp_path / "run"
    open_run(run, settings(run))
    (run / "checkpoints").mkdir()
    torch.save({}, run / "checkpoints" / "last.ckpt")
    again = settings(run, "resume=true", f"trainer.{changed}")
    if not refused:
        assert open_run(run, again) is not None
        return
    key = changed.partition("=")[0]
    with pytest.raises(ValueError, match=rf"but trainer\.{key} differ from .*repeat the original"):
        open_run(run, again)


def test_a_damaged_or_lost_checkpoint_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, settings(run))
    last, best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
    last.parent.mkdir()
    torch.save({"a": torch.zeros(1000)}, last)
    whole = last.read_bytes()
    for damaged in (b"", whole[:2000]):
        last.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.ckpt is damaged: restore it from a copy;"):
            open_run(run, settings(run, "resume=true"))
    best.write_bytes(whole)
    with pytest.raises(ValueError, match=r"copy .*best\.ckpt to it to go on from that epoch"):
        open_run(run, settings(run, "resume=true"))
    last.unlink()
    (run / "metrics.csv").write_text("epoch,step\n0,5\n1,10\n")
    with pytest.raises(ValueError, match=r"last\.ckpt is gone: .*overwrite=true"):
        open_run(run, settings(run, "resume=true"))
    # Killed between the first epoch's row and its checkpoint, nothing is lost but that epoch.
    (run / "metrics.csv").write_text("epoch,step\n0,5\n")
    assert open_run(run, settings(run, "resume=true")) is None
