"""The published optimiser's steps against a literal loop over whole gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from grap_seq.weighting import GraPPublished
from grap_seq.weighting.base import DOWNSTREAM
from tests.weighting.oracle import (
    Node,
    Problem,
    assert_same,
    backward,
    both_nodes,
    expected,
    says_nothing,
)


class Loop:
    """One step after the other as they are described, with autograd for the weights' gradient."""

    def __init__(self, losses: int, warmup: int, smoothing: float, regularization: float) -> None:
        self.logits = torch.ones(losses).double().requires_grad_()
        self.optimizer = torch.optim.Adam([self.logits], lr=0.01, betas=(0.0, 0.99))
        self.warmup, self.smoothing, self.regularization = warmup, smoothing, regularization
        self.norms: list[float] = []
        self.averages: tuple[Tensor, Tensor] | None = None
        self.updates = 0

    def mean(self, keep: float, new: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        assert self.averages is not None
        gram, alignment = self.averages
        return keep * gram + (1 - keep) * new[0], keep * alignment + (1 - keep) * new[1]

    def step(self, gradients: Tensor, down: Tensor) -> Tensor:
        """Moves the logits; returns the composite with the weights before."""
        down = down / down.norm()
        current = [float(gradient.norm()) for gradient in gradients]
        old = self.norms or current
        self.norms = [0.99 * a + 0.01 * b for a, b in zip(old, current, strict=True)]
        rows = torch.stack([g / n for g, n in zip(gradients, self.norms, strict=True)])
        covariances, products = rows @ rows.T, rows @ down
        lengths = covariances.diagonal().sqrt()
        new = covariances / (lengths[:, None] * lengths), products / lengths
        if self.averages is None:
            self.averages = new
        elif self.updates < self.warmup:
            self.averages = self.mean(self.updates / (self.updates + 1), new)
        else:
            self.averages = self.mean(self.smoothing, new)
        gram, alignment = self.averages
        self.updates += 1
        weights = self.logits.abs()
        normalized = weights / (weights @ gram @ weights).sqrt()
        objective = -normalized @ alignment + self.regularization * (weights.norm() - 1) ** 2
        self.optimizer.zero_grad()
        backward(objective)
        composite = normalized.detach() @ rows
        self.optimizer.step()
        return composite


@both_nodes
@pytest.mark.parametrize("smoothing", [0.0, 0.99])
@pytest.mark.parametrize("regularization", [0.0, 1.0])
def test_it_is_the_loop(node: Node, smoothing: float, regularization: float) -> None:
    weighting = GraPPublished(
        Problem.random().names, warmup=5, smoothing=smoothing, regularization=regularization
    ).double()
    optimizer = torch.optim.Adam([weighting.parameter_group()])
    loop = Loop(3, 5, smoothing, regularization)
    with torch.no_grad():
        # Two steps from zero, on its other side: the weight is reflected.
        loop.logits[0] = weighting.weights[0] = 0.015
    for seed in range(12):
        problem = Problem.random(seed, scales=[1.0, 50.0, 0.02 * (1 + seed), 7.0])
        optimizer.zero_grad()
        found = node(problem, weighting)
        composite = loop.step(*problem.stacked())
        assert_same(found, expected(problem, 0.5 * composite), 1e-9)
        optimizer.step()
        wanted = dict(zip(problem.names, loop.logits.abs().tolist(), strict=True))
        assert weighting.named_weights() == pytest.approx(wanted, rel=1e-9)
        assert weighting.effective is not None
    assert abs(wanted["loss1"] - 1) > 0.05
    torch.testing.assert_close(weighting.running_norms, torch.tensor(loop.norms).double())


def test_the_backbones_gradient_is_brought_to_the_scale() -> None:
    """A backbone that makes gradients 40 times shorter."""
    weighting = GraPPublished(["a", "b"], scale=0.25).double()
    encoder = torch.full((2, 3), 0.1).double().requires_grad_()
    lengths: list[float] = []
    rows = torch.randn(3, 6, dtype=torch.float64)
    for _ in range(5):
        encoder.grad = None
        views = weighting((encoder / 40).flatten())
        losses = {name: view @ row for (name, view), row in zip(views.items(), rows, strict=True)}
        backward(weighting.total(losses))
        assert encoder.grad is not None
        lengths.append(float(encoder.grad.norm()))
        weighting.observe_backbone([encoder])
        assert weighting.transmission.item() == pytest.approx(40)
    assert lengths[0] == pytest.approx(0.25 / 40)
    assert lengths[1:] == pytest.approx([0.25] * 4)
    # Nothing to learn from a backbone without gradients.
    encoder.grad = None
    weighting.observe_backbone([encoder])
    assert weighting.transmission.item() == pytest.approx(40)


def test_a_batch_without_labels_leaves_the_averages() -> None:
    weighting = GraPPublished(Problem.random().names).double()
    for labelled in (True, False):
        problem = Problem.random(absent=[] if labelled else [3])
        views = weighting(problem.encode())
        losses = {name: view.square().sum() for name, view in views.items()}
        if not labelled:
            del losses[DOWNSTREAM]
        weighting.weights.grad = None
        backward(weighting.total(losses))
        assert says_nothing(weighting) != labelled
        assert weighting.averaged.item() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 1.0}, r"smoothing=1.0: a decay lies in \[0, 1\)"),
        ({"norm_decay": -0.1}, "norm_decay=-0.1"),
        ({"warmup": -1}, "warmup=-1"),
        ({"scale": 0.0}, "scale=0.0"),
    ],
)
def test_invalid_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraPPublished(["a"], **options)  # type: ignore[arg-type]
