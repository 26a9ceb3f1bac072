"""Learning rates against formulas, and against PyTorch's own schedulers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from grap_seq import config as configs
from grap_seq.schema import Schema
from grap_seq.training.checkpoints import Checkpoints
from grap_seq.training.data import PretrainData
from grap_seq.training.pretrain import build_module, crop_policy
from grap_seq.training.schedule import Schedule
from grap_seq.training.trainer import build_trainer
from tests.shop import TIMES

LR = 0.5


def settings(*overrides: str) -> Any:
    small = ["dataset.hidden=8", "event_width=8", "batch_size=8", "trainer.threads=1", *TIMES]
    return configs.compose("pretrain", ["dataset=table", f"lr={LR}", *small, *overrides])


class Rates(Callback):
    """Notes the learning rates of every step."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.seen.append([group["lr"] for group in optimizer.param_groups])


def rates(shop: Path, folder: Path, *overrides: str) -> tuple[list[list[float]], int]:
    """Learning rates of every group at every step of a run, and the steps of an epoch."""
    config, noted = settings(*overrides), Rates()
    data = PretrainData(shop, crop_policy(config), config.batch_size)
    steps = data.steps(accumulate=config.accumulate)
    module, _ = build_module(
        config, Schema.load(shop), schedule=Schedule.from_config(config, steps)
    )
    trainer = build_trainer(config, [noted, Checkpoints(folder, "last")], "")
    trainer.fit(module, datamodule=data)
    assert len(noted.seen) == trainer.global_step == steps * config.epochs
    return noted.seen, steps


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_rate_decays_every_few_epochs_but_not_that_of_the_weights(
    shop: Path, tmp_path: Path, accumulate: int
) -> None:
    options = ["epochs=5", "schedule=step", "lr_step=2", "lr_gamma=0.1", f"accumulate={accumulate}"]
    found, steps = rates(shop, tmp_path, *options)
    expected = [[LR * 0.1 ** (epoch // 2), 0.01] for epoch in range(5) for _ in range(steps)]
    assert torch.tensor(found).allclose(torch.tensor(expected))


def test_published_weights_follow_the_schedule(shop: Path, tmp_path: Path) -> None:
    found, steps = rates(
        shop,
        tmp_path,
        "weighting=grap_published",
        "epochs=2",
        "schedule=step",
        "lr_step=1",
        "lr_gamma=0.5",
    )
    assert found[0] == [LR, 0.01]
    assert found[steps] == [LR / 2, 0.005]


def test_cosine_is_pytorchs(shop: Path, tmp_path: Path) -> None:
    found, _ = rates(shop, tmp_path, "epochs=3", "schedule=cosine")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(found))
    for ours, weights in found:
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        assert weights == 0.01
        optimizer.step()
        theirs.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_warmup_rises_linearly_and_the_rest_follows_behind() -> None:
    config = settings("epochs=4", "warmup=0.25", "schedule=cosine")
    schedule = Schedule.from_config(config, 10)
    assert (schedule.warmup, schedule.total) == (10, 40)
    factors = [schedule.factor(step) for step in range(41)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[25] == pytest.approx(0.5)
    assert factors[30] == pytest.approx(0.5 * (1 + math.cos(math.pi * 2 / 3)))
    assert factors[40] == pytest.approx(0, abs=1e-12)
    config = settings("epochs=4", "schedule=step", "warmup=0.25", "lr_step=2", "lr_gamma=0.5")
    factors = [Schedule.from_config(config, 10).factor(step) for step in (0, 9, 19, 20, 39)]
    assert factors == pytest.approx([0.1, 1, 1, 0.5, 0.5])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("schedule=linear", "schedule=linear: did you mean 'cosine'"),
        ("warmup=1.0", "warmup=1.0: write a number from 0 to below 1"),
    ],
)
def test_other_schedules_are_refused(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule.from_config(settings("epochs=1", argument), 10)
