"""LARS against a plain loop in float64; Adam's groups against Adam."""

from __future__ import annotations

import io
import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from grap_seq.vision.lars import LARS
from grap_seq.weighting import GraP

SHAPES = ((3, 4), (4,), (2, 1, 3, 3), ())


def draw(shapes: tuple[tuple[int, ...], ...] = SHAPES, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def parameters(values: list[Tensor]) -> list[Tensor]:
    return [value.clone().requires_grad_() for value in values]


def give(params: list[Tensor], gradients: list[Tensor]) -> None:
    for p, gradient in zip(params, gradients, strict=True):
        p.grad = gradient.clone().to(p)


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def by_loop(
    start: list[Tensor], steps: list[list[Tensor]], lrs: list[float], decay: float, trust: float
) -> list[list[float]]:
    found = []
    for index, value in enumerate(start):
        p, v = value.flatten().tolist(), [0.0] * value.numel()
        for gradients, lr in zip(steps, lrs, strict=True):
            g = gradients[index].flatten().tolist()
            if value.dim() > 1 and norm(p) > 0 and norm(g) > 0:
                ratio = trust * norm(p) / (norm(g) + decay * norm(p) + 1e-8)
                ratio = min(ratio / lr, 1.0) if lr else 1.0
                g = [ratio * (a + decay * b) for a, b in zip(g, p, strict=True)]
            v = [0.9 * a + b for a, b in zip(v, g, strict=True)]
            p = [a - lr * b for a, b in zip(p, v, strict=True)]
        found.append(p)
    return found


@pytest.mark.parametrize("lr", [1.0, 1e-4])
def test_several_steps(lr: float) -> None:
    """With lr=1e-4 the trust ratio is clipped; one learning rate is zero, as in a schedule."""
    start, lrs = draw(), [lr, 0.0, lr / 2, lr, lr]
    params = parameters(start)
    optimizer = LARS(params, lr=lr, weight_decay=0.01)
    steps = [draw(seed=seed) for seed in range(1, 6)]
    for gradients, rate in zip(steps, lrs, strict=True):
        give(params, gradients)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    for p, expected in zip(params, by_loop(start, steps, lrs, 0.01, 0.02), strict=True):
        assert p.flatten().tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_parameters_and_gradients_of_zeros() -> None:
    start = [torch.zeros(2, 3).double(), torch.ones(2, 3).double()]
    steps = [
        [torch.ones(2, 3).double(), torch.zeros(2, 3).double()],
        [torch.zeros(2, 3).double(), torch.ones(2, 3).double()],
    ]
    params = parameters(start)
    optimizer = LARS(params, lr=0.5, weight_decay=0.1)
    for gradients in steps:
        give(params, gradients)
        optimizer.step()
    for p, expected in zip(params, by_loop(start, steps, [0.5, 0.5], 0.1, 0.02), strict=True):
        assert p.flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    params = parameters(draw())
    optimizer = LARS(params, lr=0.5, weight_decay=0.1)
    give(params, draw(seed=1))
    optimizer.step()
    optimizer.zero_grad()
    before = deepcopy([params, optimizer.state_dict()])
    optimizer.step()
    after = [params, optimizer.state_dict()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


class Weighted:
    """Parameters of LARS, with loss weights of Adam, and what a step needs."""

    def __init__(self) -> None:
        self.params = [p.detach().float().requires_grad_() for p in draw()]
        self.weighting = GraP(["one", "two", "three"])
        groups = [{"params": self.params}, self.weighting.parameter_group(0.1)]
        self.optimizer = LARS(groups, lr=0.5, weight_decay=1e-5)
        self.schedule = LambdaLR(self.optimizer, lambda step: 1 / (1 + step))

    def step(self, number: int) -> None:
        give(self.params, draw(seed=number))
        (self.weighting.weights.grad,) = (g.float() for g in draw(((3,),), seed=number))
        self.optimizer.step()
        self.schedule.step()

    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}


def test_loss_weights_are_stepped_by_adam_itself() -> None:
    ours, alone = Weighted(), GraP(["one", "two", "three"])
    adam = torch.optim.Adam([alone.parameter_group(0.1)])
    schedule = LambdaLR(adam, lambda step: 1 / (1 + step))
    for number in range(1, 6):
        ours.step(number)
        (alone.weights.grad,) = (g.float() for g in draw(((3,),), seed=number))
        adam.step()
        schedule.step()
        assert torch.equal(ours.weighting.weights, alone.weights)
    assert (alone.weights - 1).abs().min() > 0.05
    expected = by_loop(
        [p.double() for p in draw()],
        [draw(seed=number) for number in range(1, 6)],
        [0.5 / (1 + step) for step in range(5)],
        1e-5,
        0.02,
    )
    for p, values in zip(ours.params, expected, strict=True):
        assert p.flatten().tolist() == pytest.approx(values, rel=1e-5, abs=1e-6)


def test_stored_state_goes_on_bit_for_bit() -> None:
    ours = Weighted()
    for number in range(1, 4):
        ours.step(number)
    file = io.BytesIO()
    torch.save(ours.state(), file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)

    other = Weighted()
    for mine, theirs in zip(other.params, ours.params, strict=True):
        mine.data.copy_(theirs.data)
    other.weighting.load_state_dict(ours.weighting.state_dict())
    other.optimizer.load_state_dict(stored["optimizer"])
    other.schedule.load_state_dict(stored["schedule"])
    for number in range(4, 7):
        ours.step(number)
        other.step(number)
    assert torch.equal(other.weighting.weights, ours.weighting.weights)
    for mine, theirs in zip(other.params, ours.params, strict=True):
        assert torch.equal(mine, theirs)
    torch.testing.assert_close(other.state(), ours.state(), rtol=0, atol=0)


def test_closure_is_called_first_with_gradients() -> None:
    (p,) = parameters([torch.ones(2, 2).double()])
    optimizer = LARS([p], lr=0.1)

    def closure() -> Tensor:
        loss = p.square().sum()
        torch.autograd.backward(loss)
        return loss

    assert optimizer.step(closure).item() == 4
    # trust |p| / |g| / lr = 0.02 * 2 / 4 / 0.1 = 0.1, and p - 0.1 * 0.1 * 2 p.
    torch.testing.assert_close(p.detach(), torch.full((2, 2), 0.98).double())
