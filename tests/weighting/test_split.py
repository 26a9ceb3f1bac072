"""The general node: what reaches the backbone, the heads and the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import Equal, Fixed, GraP, Weighting, split
from tests.weighting.oracle import (
    Node,
    Problem,
    assert_same,
    backward,
    both_nodes,
    expected,
    through_split,
)


@both_nodes
@pytest.mark.parametrize("chosen", [0, 1, 2])
@pytest.mark.parametrize("rescale", ["equal", "unit"])
def test_a_one_hot_weight_gives_that_losses_plain_gradient(
    node: Node, chosen: int, rescale: str
) -> None:
    problem = Problem.random()
    weighting = GraP(problem.names, rescale=rescale).double()  # type: ignore[arg-type]
    weighting.weights.data = torch.eye(3, dtype=torch.float64)[chosen]
    found = node(problem, weighting)["encoder"]
    alone = problem.encoder_gradient(problem.gradient(chosen)["z"])
    torch.testing.assert_close(found / found.norm(), alone / alone.norm(), rtol=0, atol=1e-12)
    gradients, _ = problem.stacked()
    length = gradients.sum(0).norm() if rescale == "equal" else torch.tensor(1.0)
    composite = gradients[chosen] * (length / gradients[chosen].norm())
    torch.testing.assert_close(found, problem.encoder_gradient(composite))


@both_nodes
@pytest.mark.parametrize("method", ["equal", "fixed", "grap"])
def test_the_downstream_gradient_never_reaches_the_backbone(node: Node, method: str) -> None:
    def encoder_gradient(scale: float, absent: list[int]) -> Tensor:
        problem = Problem.random(scales=[1.0, 2.0, 3.0, scale], absent=absent)
        names = problem.names
        weightings: dict[str, Weighting] = {
            "equal": Equal(names),
            "fixed": Fixed(names, {"loss0": 0.1, "loss1": 2.0, "loss2": 0.0}),
            "grap": GraP(names),
        }
        return node(problem, weightings[method].double())["encoder"]

    with_it, without = encoder_gradient(1e6, []), encoder_gradient(1.0, [3])
    torch.testing.assert_close(with_it, without, rtol=1e-14, atol=0)
    assert encoder_gradient(1e6, [0, 1, 2]).abs().max() == 0


@both_nodes
def test_heads_learn_their_own_loss_alone_also_at_weight_zero(node: Node) -> None:
    problem = Problem.random(scales=[1.0, 7.0, 0.1, 2.0])
    weighting = GraP(problem.names).double()
    weighting.weights.data = torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)
    found = node(problem, weighting)
    own = expected(problem, problem.gradient(1)["z"].flatten())
    del found["encoder"], own["encoder"]
    assert_same(found, own, 1e-12)
    assert found["weight"].flatten(1).norm(dim=1).min() > 0


def test_views_are_the_embedding_in_any_shape() -> None:
    z = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weighting = Fixed(["a", "b"], {"a": 1.0, "b": 0.0}).double()
    views = weighting(z)
    assert list(views) == ["a", "b", "downstream"]
    for view in views.values():
        assert torch.equal(view, z)
    target = torch.randn_like(z)
    # Gradients that are not contiguous arrive too: a sum's is one expanded number.
    loss = (
        (views["a"] * target).sum() + views["b"].transpose(0, 2).sum() + views["downstream"].sum()
    )
    loss.backward()
    assert z.grad is not None
    wanted = target * ((target + 1).norm() / target.norm())
    torch.testing.assert_close(z.grad, wanted)


def test_gram_matrix_comes_from_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "CHUNK_ELEMENTS", 9)
    problem = Problem.random(losses=3, positions=7, features=3, absent=[1])
    weighting = GraP(problem.names).double()
    through_split(problem, weighting)
    gradients, down = problem.stacked()
    assert weighting.statistics is not None
    torch.testing.assert_close(weighting.statistics.gram, gradients @ gradients.T)
    torch.testing.assert_close(weighting.statistics.alignment, gradients @ down)
    torch.testing.assert_close(weighting.statistics.downstream_norm, down.norm())


def test_views_that_nobody_uses_cost_no_gradient() -> None:
    encoder = nn.Linear(3, 3)
    weighting = GraP(["a"])
    weighting(encoder(torch.randn(5, 3)))
    backward(encoder(torch.randn(5, 3)).sum())
    assert weighting.weights.grad is None
    assert weighting.statistics is None
