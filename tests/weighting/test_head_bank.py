"""The fused node against the general node and against separate backward calls."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from grap_seq.weighting import Equal, Fixed, GraP, HeadBank, Weighting, head_bank, split
from tests.weighting.oracle import (
    Problem,
    assert_same,
    backward,
    expected,
    rescaled,
    says_nothing,
    through_bank,
    through_split,
)

METHODS = ("equal", "fixed", "grap", "unit", "sum", "none", "gradient")


def method(name: str, names: list[str], weights: list[float]) -> Weighting:
    """A float64 weighting with given weights."""
    if name == "equal":
        return Equal(names).double()
    if name == "fixed":
        return Fixed(names, dict(zip(names, weights, strict=True))).double()
    options: dict[str, Any] = {
        "unit": {"rescale": "unit"},
        "sum": {"normalization": "sum", "rescale": "unit"},
        "none": {"normalization": "none", "rescale": "unit"},
        "gradient": {"units": "gradient"},
    }
    grap = GraP(names, **options.get(name, {}))
    grap.weights.data = torch.tensor(weights)
    return grap.double()


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    losses = draw(st.integers(1, 5))
    absent = draw(st.sets(st.integers(0, losses), max_size=2))
    if len(absent) == losses + 1:
        absent = set()
    return Problem.random(
        seed=draw(st.integers(0, 10**6)),
        losses=losses,
        positions=draw(st.integers(1, 12)),
        features=draw(st.integers(1, 7)),
        width=draw(st.integers(1, 6)),
        scales=draw(
            st.lists(
                st.sampled_from([1e-4, 0.3, 1.0, 200.0]), min_size=losses + 1, max_size=losses + 1
            )
        ),
        absent=sorted(absent),
    )


@given(
    problems(),
    st.sampled_from(METHODS),
    st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=5, max_size=5),
    st.sampled_from([1, 6, 25, 1 << 20]),
)
@settings(max_examples=150)
def test_fused_equals_general_equals_separate_backward_calls(
    problem: Problem, name: str, weights: list[float], chunk: int
) -> None:
    weights = weights[: len(problem.names)]
    weights = weights if any(weights) else [1.0] * len(weights)
    fused, general = (method(name, problem.names, weights) for _ in range(2))
    with (
        mock.patch.object(head_bank, "CHUNK_ELEMENTS", chunk),
        mock.patch.object(head_bank, "CHUNK_POSITIONS", 1),
        mock.patch.object(split, "CHUNK_ELEMENTS", chunk),
    ):
        # Two batches: the second meets the running norms that the first has left.
        for _ in range(2):
            fused.weights.grad = general.weights.grad = None
            found = through_bank(problem, fused)
            assert_same(found, through_split(problem, general), 1e-9)
    heads = expected(problem, torch.zeros(problem.encode().numel()).double())
    del heads["encoder"], found["encoder"]
    assert_same(found, heads, 1e-10)
    torch.testing.assert_close(fused.weights, general.weights)
    assert (fused.weights.grad is None) == (general.weights.grad is None)
    if fused.weights.grad is not None and general.weights.grad is not None:
        # The terms of f's gradient cancel; what counts is the error against their size.
        gradients, down = problem.stacked()
        if name == "gradient":
            gradients = torch.nn.functional.normalize(gradients, dim=1, eps=1e-300)
        divisor = {"none": 1.0, "sum": fused.weights.sum().item()}.get(
            name, (fused.weights @ gradients).norm().item()
        )
        terms = gradients.norm(dim=1).max() * down.norm()
        bound = 1e-9 * terms.item() / divisor if divisor > 0 else 0.0
        assert (fused.weights.grad - general.weights.grad).abs().max() <= bound


@pytest.mark.parametrize("absent", [[], [0], [1, 2]])
@pytest.mark.parametrize("downstream", [True, False])
@pytest.mark.parametrize("chunk", [1, 60, 1 << 20])
def test_composite_of_present_losses(absent: list[int], downstream: bool, chunk: int) -> None:
    weights = [0.5, 1.0, 2.0, 0.5]
    absent = absent if downstream else [*absent, 4]
    problem = Problem.random(losses=4, positions=11, scales=[1, 5, 0.2, 3, 2], absent=absent)
    weighting = method("grap", problem.names, weights)
    # 5 heads x 5 features: 1 makes chunks of one position, 60 chunks of two with a rest.
    with (
        mock.patch.object(head_bank, "CHUNK_ELEMENTS", chunk),
        mock.patch.object(head_bank, "CHUNK_POSITIONS", 1),
    ):
        found = through_bank(problem, weighting)
    gradients, _ = problem.stacked()
    assert_same(found, expected(problem, rescaled(weighting.weights.detach(), gradients)), 1e-10)
    assert says_nothing(weighting) != downstream


def test_equal_weights_are_plain_training() -> None:
    """Against ordinary layers and one ordinary backward call, without any node."""
    problem = Problem.random(absent=[3])
    z = problem.encode()
    hidden = {
        name: nn.functional.linear(z, problem.weight[j], problem.bias[j])
        for j, name in enumerate(problem.names)
    }
    backward(problem.total(hidden))
    plain = problem.gradients()
    assert_same(through_bank(problem, Equal(problem.names).double()), plain, 1e-12)
    assert_same(through_bank(problem, GraP(problem.names).double()), plain, 1e-12)
    assert_same(through_split(problem, GraP(problem.names).double()), plain, 1e-12)


def test_outputs_are_the_linear_layers() -> None:
    bank = HeadBank(Equal(["a", "b"]), 6, 3)
    z = torch.randn(10, 6)
    hidden = bank(z)
    assert list(hidden) == ["a", "b", "downstream"]
    for j, value in enumerate(hidden.values()):
        torch.testing.assert_close(value, z @ bank.weight[j].T + bank.bias[j])


def test_initial_parameters_are_distributed_like_linear_layers() -> None:
    torch.manual_seed(0)
    bank, linear = HeadBank(Equal(["a"]), 50, 400), nn.Linear(50, 800)
    assert bank.weight.shape == (2, 400, 50)
    for ours, theirs in ((bank.weight, linear.weight), (bank.bias, linear.bias)):
        bound = 1 / math.sqrt(50)
        assert ours.abs().max() <= bound
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)
        assert ours.mean().item() == pytest.approx(0.0, abs=0.1 * bound)
    assert not torch.equal(bank.weight[0], bank.weight[1])


def test_a_frozen_backbone_still_trains_heads_and_weights() -> None:
    weighting = GraP(["a", "b"])
    bank = HeadBank(weighting, 4, 3)
    hidden = bank(torch.randn(6, 4)).values()
    backward(torch.stack([h.square().mean() for h in hidden]).sum())
    assert bank.weight.grad is not None
    assert weighting.weights.grad is not None
