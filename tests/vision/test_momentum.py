"""The momentum branch against a plain loop."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from grap_seq.vision.backbone import ConvNet
from grap_seq.vision.heads import projector
from grap_seq.vision.momentum import Momentum, rate


def parts() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    backbone = ConvNet(1, 2)
    return backbone, projector(backbone.features, 6, 4)


def shift(module: nn.Module) -> None:
    """Stands for an optimiser's step."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))


def test_the_rate_rises_along_half_a_cosine() -> None:
    total = 10
    for step in range(total + 1):
        angle = step / total * math.pi
        expected = 0.5 * (0.99 + 1.0) - 0.5 * (1.0 - 0.99) * math.cos(angle)
        assert rate(step, total) == pytest.approx(expected, rel=1e-14)
    assert (rate(0, total), rate(total, total), rate(total + 3, total)) == (0.99, 1.0, 1.0)
    assert rate(5, 10, 0.5, 0.7) == pytest.approx(0.6)


def test_parameters_are_moving_averages() -> None:
    backbone, head = parts()
    branch = Momentum(backbone, head, base=0.6)
    originals = [*backbone.parameters(), *head.parameters()]
    expected = [p.detach().double() for p in originals]
    for step in range(4):
        shift(backbone)
        shift(head)
        branch.update(step, 4)
        tau = rate(step, 4, 0.6)
        for index, p in enumerate(originals):
            expected[index] = tau * expected[index] + (1 - tau) * p.detach().double()
    for p, mean in zip(branch.parameters(), expected, strict=True):
        torch.testing.assert_close(p.double(), mean, rtol=1e-5, atol=1e-6)
    before = [p.clone() for p in branch.parameters()]
    branch.update(4, 4)
    assert all(torch.equal(p, q) for p, q in zip(branch.parameters(), before, strict=True))


def test_keys_have_unit_norm_and_no_gradient() -> None:
    backbone, head = parts()
    branch, images = Momentum(backbone, head), torch.rand(5, 1, 16, 16)
    keys = branch(images)
    with torch.no_grad():
        z = head(backbone(images)).double()
    expected = torch.stack([row / row.square().sum().sqrt() for row in z])
    torch.testing.assert_close(keys.double(), expected, rtol=1e-5, atol=1e-6)
    assert not keys.requires_grad
    assert not any(p.requires_grad for p in branch.parameters())
    assert all(p.requires_grad for p in (*backbone.parameters(), *head.parameters()))


def test_running_statistics_are_its_own_and_move_once_a_view() -> None:
    backbone, head = parts()
    branch = Momentum(backbone, head)
    views = torch.rand(2, 5, 1, 16, 16)
    for view in views:
        branch(view)
    counts = {n: int(b) for n, b in branch.named_buffers() if n.endswith("num_batches_tracked")}
    assert len(counts) == 7
    assert set(counts.values()) == {2}
    moved = [b.clone() for b in branch.buffers()]
    branch.update(0, 10)
    assert all(torch.equal(b, old) for b, old in zip(branch.buffers(), moved, strict=True))
    untouched = {int(b) for n, b in backbone.named_buffers() if n.endswith("num_batches_tracked")}
    assert untouched == {0}


def test_its_state_is_that_of_the_copies_alone() -> None:
    backbone, head = parts()
    branch = Momentum(backbone, head)
    assert {name.partition(".")[0] for name in branch.state_dict()} == {"backbone", "projector"}
    assert len(list(branch.parameters())) == len([*backbone.parameters(), *head.parameters()])


def test_a_copy_of_the_whole_follows_the_copied_originals() -> None:
    backbone, head = parts()
    branch = Momentum(backbone, head)
    copied_backbone, copied_branch = deepcopy([backbone, branch])
    shift(copied_backbone)
    assert isinstance(copied_branch, Momentum)
    copied_branch.update(0, 10)
    pairs = zip(copied_branch.backbone.parameters(), branch.backbone.parameters(), strict=True)
    assert not any(torch.equal(p, q) for p, q in pairs)
