"""`clip` of all ways to train: zero and null leave to the optimiser what autograd has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from grap_seq import config as configs
from grap_seq.training.base import TrainingModule
from grap_seq.training.finetune import finetune, settings_of, supervised
from grap_seq.training.pretrain import pretrain
from tests.shop import TIMES

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", *TIMES]


@pytest.fixture
def norms(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, bool]]:
    """Of every step: the gradient's norm before and after clipping, and whether no bit changed."""
    found: list[tuple[float, float, bool]] = []
    clip = TrainingModule.configure_gradient_clipping

    def watched(module: TrainingModule, *arguments: Any, **options: Any) -> None:
        gradients = [p.grad for p in module.clipped_parameters() if p.grad is not None]
        before = [gradient.clone() for gradient in gradients]
        clip(module, *arguments, **options)
        same = all(torch.equal(*pair) for pair in zip(before, gradients, strict=True))
        first, second = map(torch.nn.utils.get_total_norm, (before, gradients))
        found.append((float(first), float(second), same))

    monkeypatch.setattr(TrainingModule, "configure_gradient_clipping", watched)
    return found


@pytest.mark.parametrize("clip", ["0", "0.0", "null", "0.001"])
@pytest.mark.parametrize("way", ["pretrain", "supervised", "finetune"])
def test_no_clipping_is_none(
    shop: Path, tmp_path: Path, norms: list[tuple[float, float, bool]], way: str, clip: str
) -> None:
    run, stop = tmp_path / "run", "trainer.max_steps=2"
    chosen = [f"prepared={shop}", f"run={run}", "epochs=1", "select=last", stop]
    mode = "mode=supervised" if way == "supervised" else "mode=pretrain"
    config = configs.compose("pretrain", [*SMALL, *chosen, mode, f"clip={clip}"])
    (supervised if way == "supervised" else pretrain)(config)
    if way == "finetune":
        # Its null is the pretrained run's value, which null is too.
        norms.clear()
        finetune(settings_of(configs.compose("finetune", [f"run={run}", "epochs=1", stop])))
    assert len(norms) == 2
    for before, after, same in norms:
        assert before > 0.01
        assert same == (clip != "0.001")
        assert after == (before if same else pytest.approx(0.001, rel=1e-3))
