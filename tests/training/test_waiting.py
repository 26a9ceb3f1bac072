"""A training step hardly ever waits for the device: seen on a pretended one, with the lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch

from benchmarks.pretended import OnPretended, Pretended, Steps, Wait, pretended
from grap_seq import choices, seal
from grap_seq import config as configs
from grap_seq.distributed import rank, world_size
from grap_seq.objectives import linear_cross_entropy
from grap_seq.training.data import PretrainData
from grap_seq.training.pretrain import crop_policy
from grap_seq.training.recorder import Recorder
from grap_seq.training.selection import Selection
from grap_seq.training.tracking import Tracking
from tests.processes import in_two_processes, together
from tests.training.test_module import batch, fit, module

pytestmark = together

# The norm of the gradient decides about the update; methods of the second kind solve for their
# coefficients on the CPU.
MOST = 2
LAYERS = ["encoder.hidden=8", "encoder.layers=2", "encoder.heads=2", "encoder.feedforward=16"]
WEIGHTS = ["weighting.weights={coles: 1, time: 0.5, kind: 2, amount: 0}"]
COLES_ALONE = ["objective=coles", "objective.targets=[]"]
BATCHES, LOGGED = 4, 3


@pytest.fixture
def device() -> Iterator[Pretended]:
    with pretended() as found:
        yield found


class Part(PretrainData):
    """What each of several processes trains on, though its trainer knows of none but itself."""

    def processes(self) -> dict[str, int]:
        return {"rank": rank(), "world": world_size()}


def train(
    shop: Path,
    run: Path,
    device: Pretended,
    *overrides: str,
    accumulate: int = 1,
    trackers: Sequence[str] = (),
) -> list[list[Wait]]:
    """Train for a few steps; returns the waits of every step but the first."""
    model = module(shop, *overrides)
    settings = configs.compose("pretrain", ["dataset=table", *overrides])
    data = Part(shop, crop_policy(settings), 8 // world_size(), seed=0)
    steps, recorder = Steps(device), Recorder(run, LOGGED)
    # The first closes the epoch's row.
    told = [Selection("last", recorder, data.train, data.val), Tracking(trackers, recorder, {})]
    trainer = lightning.Trainer(
        strategy=OnPretended(device),
        callbacks=[recorder, *(told if trackers else []), steps],
        limit_train_batches=BATCHES,
        limit_val_batches=0,
        max_epochs=1,
        gradient_clip_val=1.0,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    assert model.model.embedding.block[0].weight.device.type == device.device.type
    assert np.isfinite(float(model.gradient_norm))
    # The first step fills what the others look up.
    return steps.waits()[1:]


def check(steps: Sequence[Sequence[Wait | str]]) -> None:
    assert len(steps) == BATCHES - 1
    for number, waits in enumerate(steps, start=2):
        logged = number % LOGGED == 0
        shown = "\n".join(f"{n} x {wait}" for wait, n in Counter(map(str, waits)).items())
        assert len(waits) <= MOST + logged, f"step {number} waits for the device:\n{shown}"


@pytest.mark.parametrize("encoder", ["gru", "transformer", "ht_transformer"])
def test_every_encoder(shop: Path, tmp_path: Path, device: Pretended, encoder: str) -> None:
    sizes = [] if encoder == "gru" else LAYERS
    check(train(shop, tmp_path, device, f"encoder={encoder}", *sizes))


@pytest.mark.parametrize("weighting", choices.names("weighting"))
def test_every_weighting(shop: Path, tmp_path: Path, device: Pretended, weighting: str) -> None:
    more = WEIGHTS if weighting == "fixed" else []
    check(train(shop, tmp_path, device, f"weighting={weighting}", *more))


@pytest.mark.parametrize(
    "overrides",
    [
        ["weighting.units=gradient", "weighting.smoothing=0.9", "weighting.downstream_norm=batch"],
        ["objective.targets=[next,past,future]", "objective.time=bins"],
        COLES_ALONE,
        ["objective.next_event_on=window"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_options(shop: Path, tmp_path: Path, device: Pretended, overrides: list[str]) -> None:
    check(train(shop, tmp_path, device, *overrides))


def test_accumulation(shop: Path, tmp_path: Path, device: Pretended) -> None:
    check(train(shop, tmp_path, device, accumulate=2))


def test_a_tracker(shop: Path, tmp_path: Path, device: Pretended) -> None:
    pytest.importorskip("tensorboard")
    seal.write_json(tmp_path, "environment.json", {"id": "one"})
    check(train(shop, tmp_path, device, trackers=["tensorboard"]))
    (events,) = (tmp_path / "tensorboard").glob("events.*")
    assert b"learning_rate" in events.read_bytes()


@pytest.mark.parametrize("encoder", ["gru", "transformer", "ht_transformer"])
def test_it_computes_what_the_cpu_does(shop: Path, device: Pretended, encoder: str) -> None:
    """On the CPU a GRU of our own, the head bank and batches are the same; without dropout."""
    sizes = [] if encoder == "gru" else [*LAYERS, "encoder.dropout=0"]
    batches = [batch(shop, 0, 1, 2), batch(shop, 3, 4, 5), batch(shop, 6, 7)]
    here, there = (module(shop, f"encoder={encoder}", *sizes) for _ in range(2))
    fit(here, batches, gradient_clip_val=1.0)
    fit(there, batches, gradient_clip_val=1.0, accelerator="auto", strategy=OnPretended(device))
    assert there.device == device.device
    moved = there.state_dict()
    for name, wanted in here.state_dict().items():
        if name.endswith("queries_keys_values.bias"):
            # Softmax does not feel the keys' part: its gradient is rounding, which Adam enlarges.
            continue
        torch.testing.assert_close(moved[name].cpu(), wanted, rtol=1e-4, atol=1e-5, msg=name)


def train_in_part(number: int, shop: Path, folder: Path) -> list[list[list[str]]]:
    """As `train`, with gradients that stay where they are: DDP adds them up without waiting."""
    found: list[list[list[str]]] = []
    for overrides in ([], COLES_ALONE):
        run = folder / f"{number}-{len(found)}"
        with pretended() as device:
            steps = train(shop, run, device, *overrides)
        found.append([[str(wait) for wait in waits] for waits in steps])
    return found


def test_two_processes(shop: Path, tmp_path: Path) -> None:
    """They add up the rows of CoLES, batch norm's statistics, counts and Gram matrices."""
    for runs in in_two_processes(train_in_part, tmp_path, shop, tmp_path):
        assert len(runs) == 2
        for steps in runs:
            check(steps)


def test_many_classes(
    shop: Path, tmp_path: Path, device: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_cross_entropy, "LARGEST_ELSEWHERE", 1)
    check(train(shop, tmp_path, device))


WAITING: dict[str, Callable[[torch.Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).any()),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "put": lambda x: x.__setitem__(x > 0, 0.0),
    "unique": lambda x: torch.unique(x),
    "repeat_interleave": lambda x: x.repeat_interleave((x > 0).long()),
    "equal": lambda x: torch.equal(x, x),
    "of a list": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "by a list": lambda x: x[[0, 1]],
    "blocking": lambda x: torch.zeros(2).to(x.device),
    "not pinned": lambda x: torch.zeros(2).to(x.device, non_blocking=True),
}


@pytest.mark.parametrize("name", list(WAITING))
def test_whatever_waits_is_seen_with_its_line(device: Pretended, name: str) -> None:
    x = torch.arange(3.0).to(device.device)
    del device.waits[:]
    WAITING[name](x)
    assert device.waits
    assert {wait.line.split(":")[0] for wait in device.waits} == {Path(__file__).name}


FREE: dict[str, Callable[[torch.Tensor], Any]] = {
    "arithmetic": lambda x: (x * 2 + 1).sum().sqrt(),
    "index": lambda x: x[torch.zeros(2, dtype=torch.int64, device=x.device)],
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "known size": lambda x: (x > 0).nonzero_static(size=2),
    "pinned": lambda x: torch.zeros(2).pin_memory().to(x.device, non_blocking=True),
    "of the host": lambda x: torch.zeros(2).tolist(),
}


@pytest.mark.parametrize("name", list(FREE))
def test_nothing_else_is(device: Pretended, name: str) -> None:
    x = torch.arange(3.0).to(device.device)
    del device.waits[:]
    FREE[name](x)
    assert not device.waits


def test_two_devices_do_not_mix(device: Pretended) -> None:
    x = torch.arange(3.0).to(device.device)
    with pytest.raises(RuntimeError, match=r"two devices: \(3,\) on pretended:0, \(3,\) on cpu"):
        x + torch.ones(3)
    assert (x + torch.tensor(1.0)).tolist() == [1.0, 2.0, 3.0]
