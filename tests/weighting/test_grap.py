"""GraP's weight gradient and composite against automatic differentiation of equation 15."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grap_seq.weighting import GraP, Weighting
from tests.weighting.oracle import (
    Node,
    Problem,
    ascent,
    assert_same,
    both_nodes,
    expected,
    objective,
    rescaled,
    says_nothing,
    through_split,
)

NORMALIZATIONS = ("gradnorm", "sum", "none")
RESCALES = ("equal", "unit")


def grap(problem: Problem, weights: list[float] | None = None, **options: Any) -> GraP:
    """A float64 GraP for the problem's losses."""
    weighting = GraP(problem.names, **options).double()
    if weights is not None:
        weighting.weights.data = torch.tensor(weights, dtype=torch.float64)
    return weighting


def update_of(weighting: Weighting) -> Tensor:
    """The weights' gradient, taken away."""
    gradient = weighting.weights.grad
    assert gradient is not None
    weighting.weights.grad = None
    return gradient


def complex_step(weights: Tensor, gradients: Tensor, down: Tensor, normalization: str) -> Tensor:
    """Finite differences of f with an imaginary step: exact to rounding."""
    rows, direction = gradients.numpy(), down.numpy()
    step, result = 1e-30, np.zeros(len(weights))
    for k in range(len(weights)):
        moved = weights.numpy().astype(complex)
        moved[k] += 1j * step
        composite = moved @ rows
        divisor = {
            "gradnorm": np.sqrt((composite**2).sum()),
            "sum": moved.sum(),
            "none": 1.0,
        }[normalization]
        result[k] = (composite @ direction / divisor).imag / step
    return torch.from_numpy(result)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Problem, list[float]]:
    losses = draw(st.integers(1, 4))
    scales = draw(st.lists(st.sampled_from([1e-3, 0.5, 1.0, 40.0]), min_size=5, max_size=5))
    problem = Problem.random(
        seed=draw(st.integers(0, 10**6)),
        losses=losses,
        positions=draw(st.integers(1, 9)),
        features=draw(st.integers(2, 6)),
        width=draw(st.integers(1, 5)),
        scales=scales[: losses + 1],
    )
    weights = draw(st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0]), min_size=4, max_size=4))
    weights = weights[:losses]
    return problem, weights if any(weights) else [1.0] * losses


@given(situations(), st.sampled_from(NORMALIZATIONS), st.sampled_from(("loss", "gradient")))
@settings(max_examples=60)
def test_the_update_is_the_negative_gradient_of_f(
    situation: tuple[Problem, list[float]], normalization: str, units: str
) -> None:
    problem, weights = situation
    weighting = grap(problem, weights, normalization=normalization, units=units)
    through_split(problem, weighting)
    used = weighting.weights.detach()
    gradients, down = problem.stacked()
    if units == "gradient":
        gradients = gradients / gradients.norm(dim=1, keepdim=True)
    found = -update_of(weighting)
    # f's terms cancel; what counts is the error against the size of the terms.
    terms = (gradients @ down).abs().max()
    if normalization == "gradnorm":
        terms = terms / (used @ gradients).norm()
    bound = 1e-10 * float(terms)
    assert (found - ascent(used, gradients, down, normalization)).abs().max() <= bound
    assert (found - complex_step(used, gradients, down, normalization)).abs().max() <= bound


@given(
    situations(),
    st.sampled_from(NORMALIZATIONS),
    st.sampled_from(RESCALES),
    st.sampled_from(("loss", "gradient")),
)
@settings(max_examples=60)
def test_the_backbone_receives_the_rescaled_sum(
    situation: tuple[Problem, list[float]], normalization: str, rescale: str, units: str
) -> None:
    problem, weights = situation
    weighting = grap(problem, weights, normalization=normalization, rescale=rescale, units=units)
    found = through_split(problem, weighting)
    raw, _ = problem.stacked()
    gradients = raw / raw.norm(dim=1, keepdim=True) if units == "gradient" else raw
    composite = rescaled(weighting.weights.detach(), gradients, normalization, rescale, raw)
    assert_same(found, expected(problem, composite), 1e-10)


@both_nodes
@pytest.mark.parametrize("rescale", RESCALES)
def test_units_gradient_divides_by_the_running_mean_of_each_norm(node: Node, rescale: str) -> None:
    weighting = grap(Problem.random(), [0.3, 1.2, 1.5], units="gradient", rescale=rescale)
    running = torch.zeros(3, dtype=torch.float64)
    # The second loss is missing in the first batch, the first one in the third.
    for step, absent in enumerate(([1], [], [0], [], [])):
        problem = Problem.random(
            seed=step, scales=[1.0, 50.0, 0.01 * (step + 1), 3.0], absent=absent
        )
        found = node(problem, weighting)
        raw, down = problem.stacked()
        norms = raw.norm(dim=1)
        used = torch.where(running > 0, running, norms)
        unit = torch.where(used > 0, 1 / used, 0.0)[:, None] * raw
        weights = weighting.weights.detach()
        assert_same(
            found, expected(problem, rescaled(weights, unit, "gradnorm", rescale, raw)), 1e-10
        )
        torch.testing.assert_close(
            update_of(weighting), -ascent(weights, unit, down, "gradnorm"), rtol=1e-9, atol=1e-12
        )
        seen = torch.where(running > 0, 0.99 * running + 0.01 * norms, norms)
        running = torch.where(norms > 0, seen, running)
        torch.testing.assert_close(weighting.running_norms, running)


@both_nodes
@pytest.mark.parametrize("factor", [1.0, 1024.0])
def test_units_gradient_keeps_the_length_of_the_plain_sum(node: Node, factor: float) -> None:
    """Equal weights, losses of very different scales, and a gradient scaler's factor."""
    weighting = grap(Problem.random(), units="gradient")
    total = weighting.total
    weighting.total = lambda losses: factor * total(losses)  # type: ignore[method-assign]
    running = torch.zeros(3).double()
    for step in range(3):
        problem = Problem.random(seed=step, scales=[1e-4, 300.0, 1.0, 2.0])
        found = node(problem, weighting)
        raw, _ = problem.stacked()
        unit = torch.where(running > 0, running, raw.norm(dim=1))
        composite = rescaled(torch.ones(3).double(), raw / unit[:, None], raw=raw)
        assert composite.norm().item() == pytest.approx(raw.sum(0).norm().item())
        wanted = problem.encoder_gradient(composite)
        torch.testing.assert_close(found["encoder"], factor * wanted, rtol=1e-9, atol=0)
        running = weighting.running_norms.clone()


@both_nodes
@pytest.mark.parametrize("options", [{}, {"normalization": "none"}, {"units": "gradient"}])
def test_downstream_norm_of_the_batch(node: Node, options: dict[str, Any]) -> None:
    """p / |d|, also in the average: two batches whose downstream losses differ 1000-fold."""
    weighting = grap(
        Problem.random(), [0.5, 1.0, 1.5], downstream_norm="batch", smoothing=0.5, **options
    )
    gram, alignment = torch.zeros(3, 3).double(), torch.zeros(3).double()
    running = torch.zeros(3).double()
    for step, scale in enumerate([1.0, 1000.0, 0.1]):
        problem = Problem.random(seed=step, scales=[1.0, 2.0, 3.0, scale])
        node(problem, weighting)
        gradients, down = problem.stacked()
        if options.get("units") == "gradient":
            norms = torch.where(running > 0, running, gradients.norm(dim=1))
            gradients = gradients / norms[:, None]
        running = weighting.running_norms.clone()
        keep = 0.5 if step else 0.0
        gram = keep * gram + (1 - keep) * gradients @ gradients.T
        alignment = keep * alignment + (1 - keep) * gradients @ (down / down.norm())
        weights = weighting.weights.detach().clone().requires_grad_()
        norm = (weights @ gram @ weights).sqrt()
        value = weights @ alignment
        if options.get("normalization") != "none":
            value = value / norm
        (wanted,) = torch.autograd.grad(value, weights)
        torch.testing.assert_close(-update_of(weighting), wanted, rtol=1e-9, atol=1e-12)


@both_nodes
@pytest.mark.parametrize("normalization", ["gradnorm", "sum"])
def test_smoothing_averages_c_and_p(node: Node, normalization: str) -> None:
    decay = 0.7
    weighting = grap(
        Problem.random(), [0.5, 1.0, 1.5], smoothing=decay, normalization=normalization
    )
    gram, alignment = torch.zeros(3, 3).double(), torch.zeros(3).double()
    for step in range(4):
        problem = Problem.random(seed=step)
        node(problem, weighting)
        gradients, down = problem.stacked()
        new_gram, new_alignment = gradients @ gradients.T, gradients @ down
        keep = decay if step else 0.0
        gram = keep * gram + (1 - keep) * new_gram
        alignment = keep * alignment + (1 - keep) * new_alignment
        weights = weighting.weights.detach().clone().requires_grad_()
        norm = (weights @ gram @ weights).sqrt() if normalization == "gradnorm" else weights.sum()
        (wanted,) = torch.autograd.grad(weights @ alignment / norm, weights)
        torch.testing.assert_close(-update_of(weighting), wanted, rtol=1e-9, atol=1e-12)


def test_smoothing_does_not_dilute_the_averages_of_a_loss_that_is_absent() -> None:
    weighting = grap(Problem.random(), smoothing=0.5)
    through_split(Problem.random(seed=0, absent=[2]), weighting)
    assert (weighting.running_gram[2] == 0).all()
    problem = Problem.random(seed=1)
    through_split(problem, weighting)
    gradients, down = problem.stacked()
    # Seen for the first time: no average with the zeros of the batches before.
    torch.testing.assert_close(weighting.running_gram[2, 2], gradients[2] @ gradients[2])
    torch.testing.assert_close(weighting.running_alignment[2], gradients[2] @ down)
    kept, column = weighting.running_gram[1].clone(), weighting.running_gram[:, 1].clone()
    others = weighting.running_gram[0, 0].clone()
    alignment = weighting.running_alignment[1].clone()
    through_split(Problem.random(seed=2, absent=[1]), weighting)
    torch.testing.assert_close(weighting.running_gram[1], kept, rtol=0, atol=0)
    torch.testing.assert_close(weighting.running_gram[:, 1], column, rtol=0, atol=0)
    torch.testing.assert_close(weighting.running_alignment[1], alignment, rtol=0, atol=0)
    assert weighting.running_gram[0, 0] != others


@both_nodes
@pytest.mark.parametrize("options", [{}, {"units": "gradient"}, {"smoothing": 0.9}])
def test_a_batch_without_labels_trains_the_backbone_and_leaves_the_weights(
    node: Node, options: dict[str, Any]
) -> None:
    weighting = grap(Problem.random(), [0.5, 1.0, 1.5], **options)
    node(Problem.random(seed=0), weighting)
    update_of(weighting)
    before = weighting.running_gram.clone(), weighting.running_alignment.clone()
    norms = weighting.running_norms.clone()
    problem = Problem.random(seed=1, absent=[3])
    found = node(problem, weighting)
    assert says_nothing(weighting)
    raw, _ = problem.stacked()
    gradients = raw / norms[:, None] if options.get("units") == "gradient" else raw
    composite = rescaled(weighting.weights.detach(), gradients, raw=raw)
    assert_same(found, expected(problem, composite), 1e-10)
    torch.testing.assert_close((weighting.running_gram, weighting.running_alignment), before)


@both_nodes
def test_a_downstream_gradient_of_zero_counts_as_no_label(node: Node) -> None:
    weighting = grap(Problem.random())
    node(Problem.random(scales=[1.0, 1.0, 1.0, 0.0]), weighting)
    assert says_nothing(weighting)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_prepare_projects_and_renormalises(normalization: str) -> None:
    weighting = grap(Problem.random(), [-0.2, 3.0, 1.5], normalization=normalization)
    weighting.prepare()
    wanted = [0.0, 3.0, 1.5] if normalization == "none" else [0.0, 2.0, 1.0]
    assert weighting.weights.tolist() == pytest.approx(wanted)


def test_weights_that_all_vanish_start_again_from_equal() -> None:
    weighting = grap(Problem.random(), [-1.0, 0.0, -3.0])
    assert weighting.named_weights() == {"loss0": 1.0, "loss1": 1.0, "loss2": 1.0}


@pytest.mark.parametrize("options", [{}, {"units": "gradient"}, {"smoothing": 0.9}])
def test_one_loss_alone_keeps_weight_one_and_its_plain_gradient(options: dict[str, Any]) -> None:
    problem = Problem.random(losses=1)
    weighting = grap(problem, **options)
    found = through_split(problem, weighting)
    gradients, _ = problem.stacked()
    assert_same(found, expected(problem, gradients[0]), 1e-12)
    torch.testing.assert_close(update_of(weighting), torch.zeros(1).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "norm"},
        {"rescale": "none"},
        {"units": "batch"},
        {"downstream_norm": "mean"},
        {"smoothing": 1.0},
        {"smoothing": -0.1},
    ],
)
def test_invalid_options_are_named(options: dict[str, Any]) -> None:
    (value,) = options.values()
    with pytest.raises(ValueError, match=str(value)):
        GraP(["a", "b"], **options)


def test_the_oracle_agrees_with_a_hand_calculation() -> None:
    # g1 = (3, 0), g2 = (0, 4), d = (1, 1), w = (1, 1): composite (3, 4), f = 7 / 5.
    gradients = torch.tensor([[3.0, 0.0], [0.0, 4.0]]).double()
    ones = torch.ones(2).double()
    assert objective(ones, gradients, ones, "gradnorm").item() == pytest.approx(1.4)
    # p / n - (w.p) C w / n^3 with p = (3, 4), C w = (9, 16), n = 5.
    wanted = [3 / 5 - 7 * 9 / 125, 4 / 5 - 7 * 16 / 125]
    assert ascent(ones, gradients, ones, "gradnorm").tolist() == pytest.approx(wanted)


def test_every_third_batch_updates_the_weights_and_the_average_sees_all() -> None:
    weighting = GraP(Problem.random().names, every=3, smoothing=0.9).double()
    always = GraP(Problem.random().names, smoothing=0.9).double()
    for seed in range(6):
        for method in (weighting, always):
            method.weights.grad = None
            through_split(Problem.random(seed), method)
        assert (weighting.weights.grad is None) == (seed % 3 < 2)
        if weighting.weights.grad is not None:
            assert always.weights.grad is not None
            torch.testing.assert_close(weighting.weights.grad, always.weights.grad)
    with pytest.raises(ValueError, match="every=0: it must be at least 1"):
        GraP(["a"], every=0)
