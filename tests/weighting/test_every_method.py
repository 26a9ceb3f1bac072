"""What all methods promise: equal nodes, plain heads, finite weights, exact state."""

from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grap_seq.weighting import Weighting
from tests.weighting.methods import METHODS, UNSUPERVISED, Net, batch, every_method
from tests.weighting.oracle import (
    Node,
    Problem,
    assert_same,
    backward,
    both_nodes,
    expected,
    says_nothing,
    through_bank,
    through_split,
)

# Its coefficients are those of a principal axis: a loss may enter with the other sign.
SIGNED = ("aligned_mtl",)


def make(method: str, problem: Problem) -> Weighting:
    """The method after a first batch, with weights that are not all equal where it allows."""
    weighting = METHODS[method](problem.names).double()
    if weighting.learned:
        weighting.weights.data = torch.tensor([0.5, 0.75, 1.75]).double()
    return weighting


@both_nodes
@every_method
@pytest.mark.parametrize("absent", [[], [1], [3], [0, 3]])
def test_the_backbone_receives_the_effective_combination(
    node: Node, method: str, absent: list[int]
) -> None:
    problem = Problem.random(scales=[1.0, 30.0, 0.2, 5.0], absent=absent)
    weighting = make(method, problem)
    weighting.watching = True
    found = node(problem, weighting)
    gradients, down = problem.stacked()
    assert weighting.effective is not None
    composite = weighting.effective @ gradients + weighting.downstream * down
    assert_same(found, expected(problem, composite), 1e-9)
    if weighting.needs_layer:
        # Norms are those of the layer, as C is.
        gradients, down = problem.layer()[:-1], problem.layer()[-1]
        composite = weighting.effective @ gradients
    log = weighting.log()
    assert log["composite_norm"] == pytest.approx(float(composite.norm()), rel=1e-9, abs=1e-12)
    for k, name in enumerate(problem.names):
        assert log[f"norm/{name}"] == pytest.approx(float(gradients[k].norm()))
        cosine = torch.nn.functional.cosine_similarity(gradients[k], down, dim=0)
        assert log[f"cosine/{name}"] == pytest.approx(float(cosine), abs=1e-12)


@every_method
def test_both_nodes_agree(method: str) -> None:
    """Every parameter gradient and the weights', over three batches in a row."""
    weightings = [make(method, Problem.random()) for _ in range(2)]
    for seed in range(3):
        problems = [Problem.random(seed, scales=[1.0, 5.0, 0.2, 3.0]) for _ in range(2)]
        first = through_bank(problems[0], weightings[0])
        second = through_split(problems[1], weightings[1])
        assert_same(first, second, 1e-10)
    ours, theirs = (weighting.weights.grad for weighting in weightings)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)


@pytest.mark.parametrize("method", UNSUPERVISED)
@both_nodes
def test_the_downstream_gradient_never_reaches_the_backbone(node: Node, method: str) -> None:
    huge = Problem.random(scales=[1.0, 2.0, 3.0, 1e6])
    without = Problem.random(scales=[1.0, 2.0, 3.0, 1.0], absent=[3])
    found, wanted = (node(p, make(method, p))["encoder"] for p in (huge, without))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def pull(weighting: Weighting, gradients: Tensor, down: Tensor | None) -> Tensor:
    """Backward pass of linear losses with the given gradients (K, d); returns the composite."""
    z = torch.zeros(gradients.shape[1], dtype=gradients.dtype, requires_grad=True)
    views = weighting(z)
    rows = [*gradients] if down is None else [*gradients, down]
    parts = zip(views.items(), rows, strict=down is not None)
    # A value of 1 with the wanted gradient.
    losses = {name: 1 + (view * row).sum() for (name, view), row in parts}
    backward(weighting.total(losses))
    assert z.grad is not None
    return z.grad


def learn(weighting: Weighting, steps: int, gradients: Tensor, down: Tensor | None) -> Tensor:
    """Several steps of the weights' optimiser; returns the last composite."""
    optimizer = torch.optim.Adam([weighting.parameter_group(0.3)])
    for _ in range(steps):
        weighting.start_epoch()
        optimizer.zero_grad()
        composite = pull(weighting, gradients, down)
        optimizer.step()
    return composite


@every_method
@given(
    seed=st.integers(0, 10**6),
    losses=st.integers(1, 6),
    size=st.integers(1, 8),
    exponents=st.lists(st.floats(-8, 8), min_size=7, max_size=7),
    labelled=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_weights_stay_finite_and_not_negative_at_any_scale(
    method: str, seed: int, losses: int, size: int, exponents: list[float], labelled: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(losses + 1, size, generator=generator)
    rows *= 10 ** torch.tensor(exponents[: losses + 1])[:, None]
    weighting = METHODS[method]([f"loss{k}" for k in range(losses)])
    composite = learn(weighting, 4, rows[:-1], rows[-1] if labelled else None)
    assert composite.isfinite().all()
    weights = list(weighting.named_weights().values())
    assert all(math.isfinite(weight) for weight in weights)
    assert min(weights) >= (-math.inf if method in SIGNED else 0)


HARD = {
    "all zero": ([[0.0, 0.0], [0.0, 0.0]], [1.0, 0.0]),
    "exactly opposite": ([[1.0, 2.0], [-1.0, -2.0]], [1.0, 0.0]),
    "a million times larger": ([[1e6, 1e6], [1.0, -1.0]], [0.0, -1.0]),
    "one loss": ([[1.0, 2.0]], [-1.0, 1.0]),
    "no label": ([[1.0, 2.0], [0.5, -1.0]], None),
    "against the task": ([[-1.0, 0.0], [-2.0, 0.1]], [1.0, 0.0]),
}


@every_method
@pytest.mark.parametrize("case", list(HARD))
def test_hard_batches(method: str, case: str) -> None:
    gradients, down = HARD[case]
    weighting = METHODS[method]([f"loss{k}" for k in range(len(gradients))])
    start = weighting.named_weights()
    target = None if down is None else torch.tensor(down)
    composite = learn(weighting, 20, torch.tensor(gradients), target)
    assert composite.isfinite().all()
    weights = weighting.named_weights()
    assert all(math.isfinite(weight) for weight in weights.values()), weights
    assert min(weights.values()) >= (-math.inf if method in SIGNED else 0)
    if down is None and weighting.needs_labels:
        assert weights == start
    if case == "exactly opposite" and method in ("grap", "mgda", "pcgrad"):
        assert composite.abs().max() == 0


@every_method
@both_nodes
def test_a_loss_that_is_not_finite_leaves_no_trace(node: Node, method: str) -> None:
    weighting = make(method, Problem.random())
    weighting.watching = True
    node(Problem.random(seed=0), weighting)
    weighting.weights.grad = None
    before = {key: value.clone() for key, value in weighting.named_buffers()}
    weights = weighting.weights.clone()
    found = node(Problem.random(seed=1, scales=[1.0, math.nan, 1.0, 1.0]), weighting)
    assert weighting.not_finite() == ["loss1"]
    assert says_nothing(weighting)
    assert torch.equal(weighting.weights, weights)
    # Whoever looks at the gradients before the step sees it.
    assert method == "supervised" or not found["encoder"].isfinite().all()
    for key, value in weighting.named_buffers():
        if key in ("sums", "counts"):  # DWA's mean goes on without the bad value
            assert value.isfinite().all()
        else:
            torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)
    assert node(Problem.random(seed=2), weighting)["encoder"].isfinite().all()


@every_method
@pytest.mark.parametrize("fused", [True, False])
def test_a_resumed_run_continues_bit_by_bit(method: str, fused: bool) -> None:
    straight = Net(METHODS[method], fused)
    optimizer = straight.optimizer()

    def update(net: Net, optimizer: torch.optim.Optimizer, seed: int) -> None:
        if seed % 2 == 0:
            net.weighting.start_epoch()
        optimizer.zero_grad()
        backward(net(batch(seed), torch.full((40,), seed % 3 > 0)))
        optimizer.step()

    file = io.BytesIO()
    for seed in range(12):
        if seed == 7:
            torch.save([straight.state_dict(), optimizer.state_dict()], file)
        update(straight, optimizer, seed)
    file.seek(0)
    torch.manual_seed(77)
    resumed = Net(METHODS[method], fused)
    again = resumed.optimizer()
    model_state, optimizer_state = torch.load(file, weights_only=True)
    resumed.load_state_dict(model_state)
    again.load_state_dict(optimizer_state)
    for seed in range(7, 12):
        update(resumed, again, seed)
    pairs = zip(resumed.state_dict().items(), straight.state_dict().values(), strict=True)
    for (key, ours), theirs in pairs:
        same = torch.equal(ours, theirs) if isinstance(ours, Tensor) else ours == theirs
        assert same, key


@every_method
def test_weights_of_other_losses_are_refused(method: str) -> None:
    stored = METHODS[method](["a", "b"]).state_dict()
    for names in (["b", "a"], ["a", "c"]):
        with pytest.raises(ValueError, match=r"\['a', 'b'\].*same order"):
            METHODS[method](names).load_state_dict(stored)


@every_method
def test_a_gradient_scaler_changes_neither_the_weights_nor_the_step(method: str) -> None:
    nets = [Net(METHODS[method]).float() for _ in range(2)]
    for net, scale in zip(nets, (1.0, 2.0**16), strict=True):
        optimizer = net.optimizer()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for seed in range(4):
            x, targets = batch(seed)
            optimizer.zero_grad()
            backward(scaler.scale(net((x.float(), targets.float()))))
            scaler.step(optimizer)
            scaler.update()
    # A power of two changes no mantissa.
    for ours, theirs in zip(nets[1].parameters(), nets[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@every_method
def test_two_halves_of_a_batch_accumulate(method: str) -> None:
    """As Lightning does it: each part's total divided by their number."""
    parts, single = [batch(seed) for seed in range(2)], []
    net = Net(METHODS[method])
    for part in parts:
        net.zero_grad()
        backward(net(part))
        single.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    net = Net(METHODS[method])
    for part in parts:
        backward(net(part) / 2)
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            halves = [gradients[name] / 2 for gradients in single if name in gradients]
            torch.testing.assert_close(parameter.grad, torch.stack(halves).sum(0))
