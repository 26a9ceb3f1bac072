"""The memory of a step as estimated, beside that of a real one, and what is said about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker

from benchmarks import step_memory
from benchmarks.live_bytes import LiveBytes
from grap_seq import commands
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.training import fits
from grap_seq.training.memory_estimate import COEFFICIENTS, Sizes
from tests.shop import TIMES

# Largest factor between an estimate and a measured step, unless parameters are most of it.
FACTOR = 1.25
CASE = {"data": "table", "batch": 40, "length": 100, "event_width": 64, "more": TIMES}


@pytest.mark.parametrize(
    ("encoder", "case"),
    [
        ("gru", {"hidden": 96}),
        ("transformer", {"hidden": 96, "layers": 3, "feedforward": 200}),
        ("ht_transformer", {"hidden": 48, "layers": 2, "feedforward": 300}),
        ("gru", {"hidden": 32, "targets": "[next]", "weighting": "mgda"}),
    ],
)
def test_estimate_of_steps_that_were_not_fitted(
    shop: Path, encoder: str, case: dict[str, Any]
) -> None:
    step = step_memory.training(shop, encoder, CASE | case, "32-true")
    batch, sizes = step.batch(0), Sizes.of(step.module)
    assert sizes is not None
    estimate = sizes.bytes(batch.layout.sizes)
    assert 1 / FACTOR < estimate / step_memory.step_bytes(step, batch) < FACTOR


def test_coefficients_are_those_of_the_benchmark() -> None:
    assert json.loads(step_memory.RESULTS.read_text("utf-8"))["coefficients"] == COEFFICIENTS


def test_live_bytes_are_those_of_pytorchs_own_tracker() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(30, 50), torch.nn.ReLU(), torch.nn.Linear(50, 1))
    inputs = torch.randn(200, 30)
    with LiveBytes(net.parameters()) as live:
        net(inputs).sum().backward()
    net.zero_grad()
    tracker: Any = MemTracker()
    tracker.track_external(net)
    with tracker:
        net(inputs).sum().backward()
    assert live.peak == tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


def batches(folder: Path, **options: Any) -> EpochBatches:
    policy = CropPolicy(**{"max_length": 50, "views": 2} | options)
    return EpochBatches(Sequences(folder, "train"), policy, 4, seed=0, epoch=0)


def test_the_largest_batch_is_found_without_reading(prepared: Callable[..., Path]) -> None:
    lengths = np.random.default_rng(0).integers(2, 90, 60).tolist()
    epoch = batches(prepared(train=lengths))
    events = [batch.events for batch in (epoch[step] for step in range(len(epoch)))]
    assert [int(epoch.sizes(step).sum()) for step in range(len(epoch))] == events
    assert events[epoch.largest()] > 0.9 * max(events)


SIZES = Sizes(parameters=10**6, by_hidden=900_000, columns=60, width=128, hidden=256, heads=2000)


def test_half_of_each_setting(prepared: Callable[..., Path]) -> None:
    epoch, cpu = batches(prepared(train=[80] * 8)), torch.device("cpu")
    said = fits.remedies(SIZES, epoch, 0, cpu)
    for setting in ("batch_size=2", "dataset.crops.max_length=25", "encoder.hidden=128"):
        assert setting in said
    assert fits.remedies(SIZES, epoch, 0, cpu, pretrained=True).count("=") == 1
    events = int(epoch.sizes(0).sum())
    assert epoch.cut_by(fits.shorter(epoch.policy)[1]).sizes(0).sum() < 0.6 * events
    # Views of 20 to 40 events do not get shorter with their window.
    key, policy = fits.shorter(dataclasses.replace(epoch.policy, view_min=20, view_max=40))
    assert key == "dataset.crops.view_max=20"
    assert policy.max_length == epoch.policy.max_length


def test_a_gpu_of_one_gigabyte(
    prepared: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9 * 10**8, 10**9))
    epoch, cuda = batches(prepared(train=[80] * 8)), torch.device("cuda:0")
    (fine,) = fits.before_training(SIZES, epoch, cuda)
    assert fine.startswith("A step takes about ")
    assert fine.endswith(" of 1.0 GB.")
    large = dataclasses.replace(SIZES, heads=10**6)
    _, warning = fits.before_training(large, epoch, cuda)
    assert warning.startswith("Warning: ")
    assert "batch_size=2 for " in warning


def test_it_is_said_before_training(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "select=last"]
    commands.pretrain([*small, f"prepared={shop}", f"run={tmp_path / 'run'}"])
    assert "A step takes about " in capsys.readouterr().out


def test_fine_tuning_names_what_can_be_changed_there(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Width and crops are those of the run."""
    run, small = tmp_path / "run", ["dataset=table", "dataset.hidden=8", "event_width=8"]
    commands.pretrain([*small, f"prepared={shop}", f"run={run}", "epochs=1", "select=last"])
    capsys.readouterr()
    monkeypatch.setattr(fits, "total_memory", lambda device: 1000)
    commands.finetune([f"run={run}", "epochs=1"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Warning: that will probably not fit." in said
    assert "batch_size=" in said
    assert "max_length" not in said
    assert "encoder.hidden" not in said
