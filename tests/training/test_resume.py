"""A run that is really killed and continued equals one that was never interrupted."""

from __future__ import annotations

import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from grap_seq import commands
from tests.processes import command, together

EPOCHS = 6


def arguments(shop: Path, run: Path) -> list[str]:
    return [
        *("dataset=table", f"prepared={shop}", f"run={run}", f"epochs={EPOCHS}", "batch_size=8"),
        *("log_every=1", "dataset.hidden=8", "event_width=8", "select=loss", "trainer.threads=1"),
    ]


def kill_after(epochs: int, process: ForkServerProcess, run: Path) -> None:
    """SIGKILL once the metrics hold so many epochs: somewhere inside the next one."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.exitcode is None:
        metrics = run / "metrics.csv"
        if metrics.is_file() and len(metrics.read_text().splitlines()) > epochs:
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            return
        time.sleep(0.01)
    pytest.fail("the run ended before it could be killed")


@together
def test_killed_and_resumed_run_is_bit_equal(shop: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    commands.pretrain(arguments(shop, whole))
    kill_after(2, command(["pretrain", *arguments(shop, broken)], tmp_path / "said"), broken)
    assert not (broken / "model.safetensors").exists()
    commands.pretrain([*arguments(shop, broken), "resume=true"])

    expected, got = (load_file(run / "model.safetensors") for run in (whole, broken))
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert tensor.equal(got[name]), name
    expected_weights, got_weights = (
        pd.read_parquet(run / "weights.parquet") for run in (whole, broken)
    )
    pd.testing.assert_frame_equal(expected_weights, got_weights)
    measured = ["seconds", "events_per_second", "peak_memory_mib"]
    expected_metrics, got_metrics = (
        pd.read_csv(run / "metrics.csv").drop(columns=measured) for run in (whole, broken)
    )
    pd.testing.assert_frame_equal(expected_metrics, got_metrics)
    assert len(got_metrics) == EPOCHS


def test_a_finished_run_is_trained_on_as_if_it_had_been_longer(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a rate that does not depend on how long the run is to be."""
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    commands.pretrain([*arguments(shop, whole), "schedule=step"])
    few = [argument for argument in arguments(shop, longer) if not argument.startswith("epochs")]
    few.append("schedule=step")
    commands.pretrain([*few, "epochs=2"])
    before = (longer / "model.safetensors").read_bytes()
    capsys.readouterr()
    commands.pretrain([*few, "epochs=2", "resume=true"])
    assert "is finished" in capsys.readouterr().out
    assert (longer / "model.safetensors").read_bytes() == before
    commands.pretrain([*few, f"epochs={EPOCHS}", "resume=true"])
    expected, got = (load_file(run / "model.safetensors") for run in (whole, longer))
    assert not [name for name, tensor in expected.items() if not tensor.equal(got[name])]
    assert f"epochs: {EPOCHS}" in (longer / "config.yaml").read_text().splitlines()
    assert len(pd.read_csv(longer / "metrics.csv")) == EPOCHS
