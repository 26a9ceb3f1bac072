"""Several forward passes before a backward pass are the passes done one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from grap_seq.weighting import MGDA, Equal, GradNorm, GraP, HeadBank, Weighting
from grap_seq.weighting.total import views_behind
from tests.weighting.methods import METHODS, Batch, Net, batch, every_method
from tests.weighting.oracle import backward

Train = Callable[[Net, Batch, Batch], None]
ORDINARY = ("grap", "grap-gradient", "gradnorm", "mgda")


def alternating(net: Net, first: Batch, second: Batch) -> None:
    backward(net(first))
    backward(net(second))


def both_forward(net: Net, first: Batch, second: Batch) -> None:
    losses = [net.losses(part) for part in (first, second)]
    for values in losses:
        backward(net.weighting.total(values))


def totals_the_other_way_round(net: Net, first: Batch, second: Batch) -> None:
    losses = [net.losses(part) for part in (first, second)]
    totals = [net.weighting.total(values) for values in reversed(losses)]
    backward(totals[1])
    backward(totals[0])


def gradients(net: Net, batches: tuple[Batch, Batch], train: Train) -> dict[str, Tensor]:
    """What training leaves in the parameters, the weights and the statistics of the method."""
    train(net, *batches)
    left = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    if net.weighting.weights.grad is not None:
        left["weights"] = net.weighting.weights.grad
    state = {key: value for key, value in net.weighting.state_dict().items() if "extra" not in key}
    return {**left, **state, **{k: torch.tensor(v) for k, v in net.weighting.log().items()}}


def different() -> tuple[Batch, Batch]:
    """Two batches of different sizes, whose losses and gradients differ tenfold."""
    x, targets = batch(1, 25)
    return batch(0), (x, 10 * targets)


@pytest.mark.parametrize("train", [both_forward, totals_the_other_way_round])
@pytest.mark.parametrize("fused", [True, False])
@every_method
def test_two_forward_passes_before_a_backward_pass(method: str, fused: bool, train: Train) -> None:
    if method == "dwa" and train is totals_the_other_way_round:
        pytest.skip("its mean over an epoch adds up in the order of the totals")
    nets = [Net(METHODS[method], fused) for _ in range(2)]
    wanted = gradients(nets[0], different(), alternating)
    found = gradients(nets[1], different(), train)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("method", ORDINARY)
@pytest.mark.parametrize("factor", [1.0, 8.0])
def test_the_sum_of_two_totals(method: str, fused: bool, factor: float) -> None:
    """Autograd chooses which pass comes first: compared is what does not depend on it."""

    def together(net: Net, first: Batch, second: Batch) -> None:
        totals = [net(part) for part in (first, second)]
        backward(factor * (totals[0] + totals[1]))

    def apart(net: Net, first: Batch, second: Batch) -> None:
        for part in (second, first):
            backward(factor * net(part))

    found = gradients(Net(METHODS[method], fused), different(), together)
    candidates = [
        gradients(Net(METHODS[method], fused), different(), train)
        for train in (apart, lambda net, first, second: apart(net, second, first))
    ]
    matches = [
        all(torch.allclose(found[key], value, 1e-12, 1e-14) for key, value in candidate.items())
        for candidate in candidates
    ]
    assert any(matches)


@pytest.mark.parametrize("fused", [True, False])
def test_a_loss_of_two_passes_belongs_to_both(fused: bool) -> None:
    """Two augmented views of a batch, as in contrastive training; C of each is its own."""
    net = Net(GraP, fused)
    passes = [net.losses(part) for part in different()]
    losses = {name: passes[0][name] + passes[1][name] for name in passes[0]}
    del losses["b"]
    losses["b"] = passes[0]["b"]
    backward(2 * net.weighting.total(losses))
    apart = Net(GraP, fused)
    rows = [apart.losses(part) for part in different()]
    del rows[1]["b"]
    for row in rows:
        backward(2 * apart.weighting.total(row))
    pairs = zip(net.named_parameters(), apart.parameters(), strict=True)
    for (name, ours), theirs in pairs:
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None and theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14, msg=name)
    torch.testing.assert_close(net.weighting.weights.grad, apart.weighting.weights.grad)


def test_gradnorm_compares_each_pass_with_its_own_losses() -> None:
    """By hand: w n = (1, 1), rates (8 / 4.5, 1 / 4.5) and then (0.1 / 0.55, 1 / 0.55)."""
    weighting = GradNorm(["a", "b"], alpha=1.0)
    weighting.initial.copy_(torch.ones(2))
    views = [weighting(torch.zeros((), requires_grad=True)) for _ in range(2)]
    values = [{"a": 8.0, "b": 1.0}, {"a": 0.1, "b": 1.0}]
    totals = [
        weighting.total({name: value + view[name] for name, value in row.items()})
        for view, row in zip(views, values, strict=True)
    ]
    signs: list[list[float]] = []
    for total in totals:
        weighting.weights.grad = None
        backward(total)
        assert weighting.weights.grad is not None
        signs.append(weighting.weights.grad.tolist())
    assert signs == [[-1.0, 1.0], [1.0, -1.0]]


@pytest.mark.parametrize("kind", [Equal, MGDA, GraP])
def test_losses_of_a_head_that_all_share_are_walked_through_once(kind: type[Weighting]) -> None:
    """A chain of 2,000 operations behind 40 losses: every node is visited once."""
    names = [f"loss{k}" for k in range(40)]
    weighting = kind(names)
    views = weighting(torch.ones(3, requires_grad=True))
    shared = torch.stack([views[name].sum() for name in names])
    for _ in range(2000):
        shared = shared + 1
    losses = dict(zip(names, shared.unbind(), strict=True))
    asked = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal asked
        asked += event == "call" and frame.f_code.co_name == "behind"

    sys.setprofile(count)
    try:
        found = views_behind(weighting, losses)
    finally:
        sys.setprofile(None)
    assert asked < 5000
    assert all({view for _, view in behind} == set(range(40)) for behind in found.values())


def test_passes_of_another_weighting_are_none_of_ours() -> None:
    inner, outer = GraP(["a"]), GraP(["a"])
    z = torch.randn(4, 3, requires_grad=True)
    bank = HeadBank(outer, 3, 2)
    losses = {"a": bank(inner(z)["a"])["a"].square().mean()}
    backward(outer.total(losses))
    assert outer.last_pass is not None
    assert inner.total({"a": inner(z)["a"].sum()}).item() != 0
    with pytest.raises(ValueError, match="does not depend on its view"):
        GraP(["a"]).total(losses)


def test_a_pass_forgets_nothing_when_its_weighting_is_used_for_evaluation() -> None:
    net = Net(GraP)
    total = net(batch(0))
    with torch.no_grad():
        net(batch(1))
    backward(total)
    plain = Net(GraP)
    backward(plain(batch(0)))
    assert net.weighting.log() == plain.weighting.log()


def test_activation_checkpointing_of_encoder_and_heads() -> None:
    plain, saving = Net(GraP), Net(GraP)
    backward(plain(batch(0)))
    backward(checkpoint(saving, batch(0), use_reentrant=False))
    for ours, theirs in zip(saving.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("fused", [True, False])
def test_a_compiled_model_finds_its_passes(fused: bool) -> None:
    """The node and `total` are left to Python; what is between them is compiled."""
    plain, compiled = Net(GradNorm, fused), Net(GradNorm, fused)
    call: Any = torch.compile(compiled, backend="aot_eager")
    for seed in range(2):
        backward(plain(batch(seed)))
        backward(call(batch(seed)))
    for ours, theirs in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(compiled.weighting.weights.grad, plain.weighting.weights.grad)
    assert compiled.weighting.losses.keys() == plain.weighting.losses.keys()
