"""All4One's losses against plain loops in float64, alone and in two processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist

from grap_seq.vision.losses import feature_losses, nce, nnclr
from tests.processes import in_two_processes, together

pytestmark = together
Rows = list[list[float]]


def cosine(a: list[float], b: list[float]) -> float:
    products = (sum(x * y for x, y in zip(u, v, strict=True)) for u, v in ((a, b), (a, a), (b, b)))
    both, left, right = products
    return both / math.sqrt(left * right)


def nce_by_loop(targets: Rows, predictions: Rows, temperature: float) -> float:
    total = 0.0
    for i, target in enumerate(targets):
        scores = [math.exp(cosine(target, p) / temperature) for p in predictions]
        total -= math.log(scores[i] / sum(scores))
    return total / len(targets)


def features_by_loop(m1: Rows, z1: Rows, m2: Rows, z2: Rows) -> tuple[float, float]:
    on, off = [0.0, 0.0], [0.0, 0.0]
    for view, (m, z) in enumerate(((m1, z2), (m2, z1))):
        left, right = list(zip(*m, strict=True)), list(zip(*z, strict=True))
        width = len(left)
        for i in range(width):
            for j in range(width):
                c = cosine(list(left[i]), list(right[j]))
                if i == j:
                    on[view] += (c - 1) ** 2 / width
                else:
                    off[view] += c**2 / (width * (width - 1))
    return math.sqrt(sum(on) / 2), math.sqrt(sum(off) / 2)


def draw(count: int, rows: int = 6, width: int = 4) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(rows, width, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_nce(temperature: float) -> None:
    targets, predictions = draw(2)
    expected = nce_by_loop(targets.tolist(), predictions.tolist(), temperature)
    assert float(nce(targets, predictions, temperature)) == pytest.approx(expected, rel=1e-12)


def test_nnclr_crosses_the_views() -> None:
    t1, p1, t2, p2 = draw(4)
    expected = 0.5 * nce_by_loop(t1.tolist(), p2.tolist(), 0.2)
    expected += 0.5 * nce_by_loop(t2.tolist(), p1.tolist(), 0.2)
    assert float(nnclr(t1, p1, t2, p2)) == pytest.approx(expected, rel=1e-12)
    assert float(nnclr(t1, p1, t2, p2, 0.1)) != pytest.approx(expected, rel=1e-3)


def test_feature_losses() -> None:
    m1, z1, m2, z2 = draw(4)
    expected = features_by_loop(m1.tolist(), z1.tolist(), m2.tolist(), z2.tolist())
    found = feature_losses(m1, z1, m2, z2)
    assert [float(loss) for loss in found] == pytest.approx(expected, rel=1e-12)


def test_gradients_are_the_slopes_of_the_losses() -> None:
    inputs = [rows.requires_grad_() for rows in draw(4, rows=4, width=3)]
    assert torch.autograd.gradcheck(nnclr, inputs)
    assert torch.autograd.gradcheck(feature_losses, inputs)


def test_gradients_are_finite_where_a_loss_is_zero() -> None:
    """Orthogonal features that agree: both roots are at their smallest."""
    keys = torch.eye(4, dtype=torch.float64)
    z = keys.clone().requires_grad_()
    on, off = feature_losses(keys, z, keys, z)
    assert float(on.detach()) < 2e-6
    assert float(off.detach()) < 2e-6
    torch.autograd.backward(on + off)
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_gradients_are_finite_at_rows_and_columns_of_zeros() -> None:
    z = torch.zeros(5, 3, requires_grad=True)
    keys = torch.randn(5, 3)
    torch.autograd.backward([*feature_losses(keys, z, keys, z), nnclr(keys, z, keys, z)])
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_low_precision_does_not_reach_the_losses() -> None:
    m1, z1, m2, z2 = (rows.float() for rows in draw(4))
    exact = torch.stack([nnclr(m1, z1, m2, z2), *feature_losses(m1, z1, m2, z2)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = torch.stack([nnclr(m1, z1, m2, z2), *feature_losses(m1, z1, m2, z2)])
    assert torch.equal(exact, lowered)


def test_inputs_of_low_precision_are_taken_as_they_are() -> None:
    m1, z1, m2, z2 = (rows.bfloat16() for rows in draw(4))
    lowered = torch.stack([nnclr(m1, z1, m2, z2), *feature_losses(m1, z1, m2, z2)])
    m1, z1, m2, z2 = (rows.double() for rows in (m1, z1, m2, z2))
    exact = torch.stack([nnclr(m1, z1, m2, z2), *feature_losses(m1, z1, m2, z2)])
    torch.testing.assert_close(lowered.double(), exact, rtol=1e-6, atol=1e-6)


def shares(rank: int, world: int) -> dict[str, Tensor]:
    """Losses and their gradients of a process with its part of eight rows."""
    found = {}
    for name in ("nnclr", "features"):
        inputs = [rows.chunk(world)[rank] for rows in draw(4, rows=8)]
        layer = nn.Linear(4, 3, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.arange(12).reshape(3, 4).sin())
            layer.bias.zero_()
        m1, z1, m2, z2 = (layer(rows) for rows in inputs)
        losses = nnclr(m1, z1, m2, z2) if name == "nnclr" else feature_losses(m1, z1, m2, z2)
        loss = losses if isinstance(losses, Tensor) else losses[0] + 3 * losses[1]
        torch.autograd.backward(loss)
        assert layer.weight.grad is not None
        for key, value in (("loss", loss.detach()), ("gradient", layer.weight.grad)):
            if world > 1:
                dist.all_reduce(value)
            found[f"{name} {key}"] = value / world
    return found


def test_the_mean_over_two_processes_is_the_loss_of_the_whole_batch(tmp_path: Path) -> None:
    alone = shares(0, 1)
    for found in in_two_processes(shares, tmp_path, 2):
        for key, value in alone.items():
            torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-14, msg=key)
