"""What a training step of images moves, and that it moves once an update that is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn

from grap_seq.config import compose
from grap_seq.training.base import running_statistics
from grap_seq.vision.batch import ImageBatch
from grap_seq.vision.build import build_module
from grap_seq.vision.module import VisionModule
from grap_seq.vision.momentum import rate

BATCH = 8
SMALL = (
    *("data=digits", "backbone.width=2", "heads.projection=8", "heads.projector_hidden=8"),
    *("heads.predictor_hidden=8", "heads.queue=32", "heads.layers=1", "heads.heads=2"),
    *("heads.feedforward=8", "batch_size=8", "epochs=1"),
)


def module(tmp_path: Path, *words: str, steps: int = 4) -> VisionModule:
    return build_module(compose("vision", [*SMALL, f"run={tmp_path}/run", *words]), 10, steps)


def batch(seed: int) -> ImageBatch:
    drawn = torch.Generator().manual_seed(seed)
    views = torch.rand(2, BATCH, 1, 16, 16, generator=drawn)
    return ImageBatch(views, torch.arange(BATCH), torch.arange(BATCH))


def fit(model: VisionModule, batches: list[ImageBatch], **options: Any) -> None:
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(model, torch.utils.data.DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


def parameters(part: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in part.parameters()]


def test_a_step_moves_queue_and_momentum_branch_once(tmp_path: Path) -> None:
    model = module(tmp_path)
    queue, slow = model.objective.queue.keys.clone(), parameters(model.momentum)
    fit(model, [batch(0)])
    keys = model.objective.queue.keys
    assert int(model.objective.queue.pointer) == BATCH
    assert keys[BATCH:].equal(queue[BATCH:])
    assert not keys[:BATCH].equal(queue[:BATCH])
    assert torch.allclose(keys.norm(dim=1), torch.ones(len(keys)))
    # Of four updates the first.
    tau = rate(0, 4)
    fast = [*model.backbone.parameters(), *model.objective.projector.parameters()]
    for before, now, original in zip(slow, model.momentum.parameters(), fast, strict=True):
        torch.testing.assert_close(now, tau * before + (1 - tau) * original.detach())
    counts = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    # Two views each.
    assert {int(count) for count in counts} == {2}


def test_several_batches_an_update_are_queued_behind_it(tmp_path: Path) -> None:
    model = module(tmp_path, steps=1)
    slow = parameters(model.momentum)
    fit(model, [batch(0), batch(1)], accumulate_grad_batches=2)
    assert int(model.objective.queue.pointer) == 2 * BATCH
    tau = rate(0, 1)
    fast = [*model.backbone.parameters(), *model.objective.projector.parameters()]
    for before, now, original in zip(slow, model.momentum.parameters(), fast, strict=True):
        torch.testing.assert_close(now, tau * before + (1 - tau) * original.detach())


def test_a_refused_update_moves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, bad = module(tmp_path), batch(0)
    bad.views[0, 3] = float("nan")
    before = [t.clone() for t in (*model.state_dict().values(), *running_statistics(model))]
    with pytest.raises(FloatingPointError, match="all 1 updates of epoch 1 were refused"):
        fit(model, [bad])
    after = [*model.state_dict().values(), *running_statistics(model)]
    assert all(one.equal(two) for one, two in zip(before, after, strict=True))
    said = " ".join(capsys.readouterr().out.split())
    assert "update 1 (epoch 1) was refused" in said
    assert list((tmp_path / "run").glob("refused/*"))


@pytest.mark.parametrize("weighting", ["equal", "default", "gradnorm", "dwa", "mgda", "pcgrad"])
def test_every_weighting_trains(tmp_path: Path, weighting: str) -> None:
    model = module(tmp_path, f"weighting={weighting}")
    before = parameters(model.backbone)
    fit(model, [batch(0), batch(1)])
    moved = [not a.equal(b) for a, b in zip(before, model.backbone.parameters(), strict=True)]
    assert all(moved)


def test_learning_rates_are_those_of_the_recipe(tmp_path: Path) -> None:
    """In proportion to the images of an update; the loss weights have Adam's, which stays."""
    model = module(
        tmp_path, "batch_size=128", "heads.queue=128", "accumulate=4", "weighting.lr=0.03", "lr=0.5"
    )
    (optimizer,), _ = model.configure_optimizers()
    rates = [group["initial_lr"] for group in optimizer.param_groups]
    assert rates == [1.0, 1.0, 1.0, 0.1, 0.2, 0.03]
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    assert decays == [1e-5, 1e-5, 1e-5, 1e-5, 0.0, 0.0]
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == learning | {id(model.weighting.weights)}
