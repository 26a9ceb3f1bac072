"""The general node: what reaches the backbone, the heads and the weights."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import Equal, Fixed, GraP, Weighting, split
from tests.weighting.methods import METHODS
from tests.weighting.oracle import (
    Node,
    Problem,
    assert_same,
    backward,
    both_nodes,
    expected,
    rescaled,
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


@pytest.mark.parametrize("method", ["equal", "grap", "mgda", "auxiliary"])
def test_several_tensors_are_one_long_embedding(method: str) -> None:
    """A dict of tensors against their concatenation, one of them used by a single loss."""
    shapes = {"coarse": (4, 3), "fine": (2, 5, 3), "unused": (6,)}
    parts = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    directions = {
        view: {name: torch.randn_like(part) for name, part in parts.items() if name != "unused"}
        for view in ("a", "b", "downstream")
    }
    del directions["b"]["fine"]
    found = []
    for joined in (False, True):
        weighting = METHODS[method](["a", "b"]).double()
        leaves = {name: part.clone().requires_grad_() for name, part in parts.items()}
        if joined:
            views = weighting(torch.cat([leaf.flatten() for leaf in leaves.values()]))
            lengths = [part.numel() for part in parts.values()]
            pieces = {
                view: dict(zip(parts, whole.split(lengths), strict=True))
                for view, whole in views.items()
            }
        else:
            pieces = weighting(leaves)
        losses = {
            view: torch.stack(
                [(pieces[view][n].flatten() * to.flatten()).sum() for n, to in wanted.items()]
            ).sum()
            for view, wanted in directions.items()
        }
        backward(weighting.total(losses))
        gradients = {name: leaf.grad for name, leaf in leaves.items()}
        found.append((gradients, weighting.weights.grad))
    for name, gradient in found[1][0].items():
        assert gradient is not None
        ours = found[0][0][name]
        torch.testing.assert_close(torch.zeros_like(gradient) if ours is None else ours, gradient)
    assert found[0][0]["unused"] is None
    torch.testing.assert_close(found[0][1], found[1][1])


def test_a_head_shared_by_all_losses_learns_from_their_plain_sum() -> None:
    """One projector, several losses on its output, as in joint-embedding pretraining of images."""
    torch.manual_seed(0)
    encoder, projector = nn.Linear(5, 4).double(), nn.Linear(4, 3).double()
    probe = nn.Linear(4, 2).double()
    x = torch.randn(8, 5, dtype=torch.float64)

    def losses(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        invariance = projector(views["invariance"])
        variance = projector(views["variance"])
        return {
            "invariance": (invariance[::2] - invariance[1::2]).square().mean(),
            "variance": torch.relu(1 - variance.std(0)).mean(),
            "downstream": probe(views["downstream"]).square().mean(),
        }

    weighting = GraP(["invariance", "variance"]).double()
    weighting.weights.data = torch.tensor([1.9, 0.1]).double()
    backward(weighting.total(losses(weighting(encoder(x)))))
    found = [parameter.grad for parameter in (*projector.parameters(), *encoder.parameters())]

    z = encoder(x).detach().requires_grad_()
    plain = losses(dict.fromkeys(weighting.views, z))
    rows = [torch.autograd.grad(loss, z, retain_graph=True)[0].flatten() for loss in plain.values()]
    composite = rescaled(torch.tensor([1.9, 0.1]).double(), torch.stack(rows[:2]))
    both = plain["invariance"] + plain["variance"]
    shared = torch.autograd.grad(both, list(projector.parameters()))
    own = torch.autograd.grad(encoder(x), list(encoder.parameters()), composite.view_as(z))
    torch.testing.assert_close(found, [*shared, *own])
