"""`trainer=ddp2_cpu`: two processes are one process with the doubled batch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.multiprocessing.spawn import ProcessRaisedException

from grap_seq import config as configs
from grap_seq.training.finetune import supervised
from grap_seq.training.pretrain import pretrain
from grap_seq.training.run_folder import Start
from grap_seq.training.trainer import check_trainer, fit
from tests.processes import together
from tests.shop import TIMES

pytestmark = together
LR = 1e-3


def settings(shop: Path, run: Path, *extra: str) -> Any:
    small = ["dataset.hidden=8", "event_width=8", "epochs=3", f"lr={LR}", "log_every=1"]
    # Random numbers of the time jitter and of earlier and later targets depend on the process.
    same = [*TIMES, "dataset.time_jitter=0", "objective.targets=[next]"]
    same += ["select=probe", "trainer.threads=1"]
    names = ["dataset=table", f"prepared={shop}", f"run={run}"]
    return configs.compose("pretrain", [*names, *small, *same, *extra])


def test_epochs_of_two_processes_are_those_of_one_with_the_doubled_batch(
    shop: Path, tmp_path: Path, forked_ranks: None
) -> None:
    """Also where a run is stopped inside an epoch and resumed: the state is that of one process."""
    one = pretrain(settings(shop, tmp_path / "one", "batch_size=16"))
    steps = int(pd.read_csv(one / "metrics.csv")["step"].iloc[0])
    two = tmp_path / "two"
    ways = ("batch_size=16", "trainer.devices=1"), ("batch_size=8", "trainer=ddp2_cpu")
    for stop, way in (steps + 1, 0), (2 * steps + 1, 1), (-1, 0):
        pretrain(settings(shop, two, *ways[way], f"trainer.max_steps={stop}", "resume=true"))

    expected, found = (load_file(run / "model.safetensors") for run in (one, two))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    tables = [pd.read_parquet(run / "weights.parquet") for run in (one, two)]
    assert tables[0].columns.equals(tables[1].columns)
    assert len(tables[0]) == 3 * steps
    # Where a gradient is nearly zero, its direction is known less well than its size.
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4, atol=5e-4)
    rows = [pd.read_csv(run / "metrics.csv") for run in (one, two)]
    assert rows[0].columns.equals(rows[1].columns)
    events = [row["events_per_second"] * row["seconds"] for row in rows]
    np.testing.assert_allclose(events[1], events[0])
    measured = ["seconds", "events_per_second", "padding", "peak_memory_mib"]
    left, right = (row.drop(columns=measured) for row in rows)
    np.testing.assert_allclose(right, left, rtol=1e-4)


def test_an_error_in_another_process_is_the_users_line() -> None:
    class Trainer:
        strategy = SimpleNamespace(launcher=None)

        def __init__(self, last: str) -> None:
            self.last = last

        def fit(self, *args: Any, **options: Any) -> None:
            trace = f"Traceback (most recent call last):\n  File ...\n{self.last}\n"
            message = f"\n\n-- Process 1 terminated with the following error:\n{trace}"
            raise ProcessRaisedException(message, 1, 123)

    nowhere = Path(), Start("")
    broken: Any = Trainer("FloatingPointError: 3 batches in a row: lower lr")
    with pytest.raises(FloatingPointError, match=r"^3 batches in a row: lower lr$"):
        fit(broken, None, None, *nowhere)
    with pytest.raises(ProcessRaisedException, match="KeyError"):
        fit(Trainer("KeyError: 'x'"), None, None, *nowhere)  # type: ignore[arg-type]


def test_too_few_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"trainer=ddp4 needs 4 GPUs, and PyTorch finds 1; use"):
        check_trainer(configs.compose("pretrain", ["trainer=ddp4"]).trainer)


def test_bfloat16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = configs.compose("pretrain", ["trainer.precision=bf16-mixed"]).trainer
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True})
    check_trainer(trainer)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False})
    with pytest.raises(ValueError, match=r"no instructions for bfloat16.*precision=32-true"):
        check_trainer(trainer)
    graphics = configs.compose("pretrain", ["trainer=gpu"]).trainer
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old One")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ValueError, match=r"Old One has no bfloat16; .*=16-mixed"):
        check_trainer(graphics)


def test_a_label_is_learned_by_two_processes_as_by_one(
    shop: Path, tmp_path: Path, forked_ranks: None
) -> None:
    """GRU and head; labels are dealt out unevenly where the number of sequences is odd."""
    found: list[Any] = []
    # The gradient of a deviation near zero is rounding, which Adam makes a step of.
    same = ["mode=supervised", "epochs=2", "pooling=last_mean_max"]
    for name, way in (("one", ["batch_size=10"]), ("two", ["batch_size=5", "trainer=ddp2_cpu"])):
        run = supervised(settings(shop, tmp_path / name, *way, *same))
        model = load_file(run / "model.safetensors")
        found.append((model, pd.read_csv(run / "metrics.csv"), json.loads(_head(run))))
    (one, rows, head), (two, rows_of_two, head_of_two) = found
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    kept = ["epoch", "step", "loss/label", "val_score"]
    np.testing.assert_allclose(rows_of_two[kept], rows[kept], rtol=1e-3)
    assert head_of_two.pop("metric") == head.pop("metric") == "auc"
    assert head_of_two.pop("label") == head.pop("label") == "churned"
    assert head_of_two == pytest.approx(head, rel=1e-3)


def _head(run: Path) -> str:
    return (run / "head.json").read_text("utf-8")
