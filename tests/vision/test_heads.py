"""Projector, predictor, and batch norms that take a pass without remembering it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grap_seq.vision.heads import predictor, projector, statistics_kept


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def layers(module: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in module]


def test_layers_are_those_of_the_reference() -> None:
    head = projector(512, 2048, 256)
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    assert layers(head) == [*hidden, *hidden, "Linear", "BatchNorm1d"]
    assert [p.shape for p in head.parameters() if p.dim() == 2] == [
        (2048, 512),
        (2048, 2048),
        (256, 2048),
    ]
    guess = predictor(256, 4096)
    assert layers(guess) == [*hidden, "Linear"]
    assert [p.shape for p in guess.parameters() if p.dim() == 2] == [(4096, 256), (256, 4096)]


def test_a_pass_with_statistics_kept_is_the_same_and_moves_nothing() -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(144))
    images = torch.randn(5, 3, 8, 8)
    before = state(head)
    with statistics_kept(head):
        kept = head(images)
    assert all(torch.equal(value, before[name]) for name, value in state(head).items())
    assert torch.equal(kept, head(images))
    after = state(head)
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {
        f"{norm}.{name}"
        for norm in (1, 3)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_running_statistics_are_used_in_evaluation() -> None:
    torch.manual_seed(0)
    head = projector(3, 4, 2)
    head(torch.randn(9, 3))
    head.eval()
    rows = torch.randn(5, 3)
    with statistics_kept(head):
        kept = head(rows)
    assert torch.equal(kept, head(rows))


def test_flags_come_back_after_an_error_too() -> None:
    head = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))

    def fail() -> None:
        with statistics_kept(head):
            head(torch.randn(5, 4))

    with pytest.raises(RuntimeError):
        fail()
    assert [norm.track_running_stats for norm in head] == [True, False]
    head(torch.randn(5, 3))
    assert head[0].num_batches_tracked == 1
