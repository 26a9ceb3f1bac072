"""The total of the losses, its factor, and heads that are not connected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import Equal, GraP, HeadBank
from tests.weighting.oracle import Node, Problem, assert_same, backward, both_nodes


def test_total_is_the_plain_sum() -> None:
    weighting = Equal(["a", "b"])
    z = torch.tensor(2.0, requires_grad=True)
    losses = {"b": weighting(z)["b"], "downstream": torch.tensor(0.5)}
    total = weighting.total(losses)
    assert total.item() == 2.5
    backward(3 * total)
    assert z.grad is not None
    assert z.grad.item() == 3
    with torch.no_grad():
        assert weighting.total(losses).item() == 2.5


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"c": torch.tensor(1.0)}, r"\['c'\] have no weight; their names are \['a', 'b', 'down"),
        ({"a": torch.ones(3)}, r"'a' has shape \(3,\): take its mean or sum"),
        ({}, "no loss is given"),
    ],
)
def test_wrong_losses_are_refused(losses: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Equal(["a", "b"]).total(losses)


@pytest.mark.parametrize("options", [{}, {"normalization": "none"}, {"rescale": "unit"}])
@pytest.mark.parametrize("more", [{}, {"units": "gradient"}, {"smoothing": 0.9}])
@both_nodes
def test_a_factor_of_the_total_scales_every_gradient_alike(
    node: Node, options: dict[str, Any], more: dict[str, Any]
) -> None:
    """Also where C grows with the factor's square, and running averages see several factors."""
    found = []
    for factors in ((1.0, 1.0), (1024.0, 0.25)):
        weighting = GraP(Problem.random().names, **options, **more).double()
        for seed, factor in enumerate(factors):
            weighting.weights.grad = None
            plain = weighting.total
            weighting.total = lambda losses, f=factor, plain=plain: f * plain(losses)  # type: ignore[method-assign, misc]
            gradients = node(Problem.random(seed), weighting)
            del weighting.total
        assert weighting.weights.grad is not None
        gradients["weights"] = weighting.weights.grad
        found.append(gradients)
    assert_same(found[1], {name: 0.25 * value for name, value in found[0].items()}, 1e-12)


def split_views(weighting: GraP, z: Tensor) -> dict[str, Tensor]:
    views: dict[str, Tensor] = weighting(z)
    return views


def bank_views(weighting: GraP, z: Tensor) -> dict[str, Tensor]:
    hidden: dict[str, Tensor] = HeadBank(weighting, 4, 4)(z)
    return hidden


@pytest.mark.parametrize("views_of", [split_views, bank_views])
@pytest.mark.parametrize("name", ["a", "downstream"])
def test_a_head_that_does_not_see_the_embedding_is_named(
    views_of: Callable[[GraP, Tensor], dict[str, Tensor]], name: str
) -> None:
    weighting = GraP(["a", "b"])
    heads = {view: nn.Linear(4, 1) for view in weighting.views}
    z = torch.randn(5, 4, requires_grad=True)
    views = views_of(weighting, z)
    losses = {view: heads[view](views[view]).square().mean() for view in views}
    message = f"loss '{name}' does not depend on its view"
    for other in (views[name].detach(), views["b"], z):
        wrong = heads[name](other).square().mean()
        with pytest.raises(ValueError, match=message):
            weighting.total({**losses, name: wrong})
    # A constant is not a head: the batch does not have that loss.
    backward(weighting.total({**losses, name: torch.zeros(())}))
    assert weighting.log()[f"loss/{name}"] == 0


def test_a_leaf_is_not_a_head() -> None:
    weighting = GraP(["a"])
    with pytest.raises(ValueError, match="loss 'a' does not depend on its view"):
        weighting.total({"a": torch.ones((), requires_grad=True)})


@pytest.mark.parametrize("views_of", [split_views, bank_views])
def test_second_derivatives_are_refused(
    views_of: Callable[[GraP, Tensor], dict[str, Tensor]],
) -> None:
    z = torch.randn(5, 4, requires_grad=True)
    loss = views_of(GraP(["a"]), z)["a"].square().sum()
    (gradient,) = torch.autograd.grad(loss, z, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        backward(gradient.sum())


def test_the_weights_learn_where_the_backbone_is_frozen() -> None:
    weighting = GraP(["a", "b"])
    views = weighting(torch.randn(5, 4))
    backward(weighting.total({name: view.sum() for name, view in views.items()}))
    assert weighting.weights.grad is not None
