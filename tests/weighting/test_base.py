"""Names, state and logs of a weighting, and the scale of the composite."""

from __future__ import annotations

import doctest
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from grap_seq.weighting import Equal, GraP, HeadBank, Weighting, base
from grap_seq.weighting.rescale import composite_norm, equal_scale
from tests.weighting.oracle import Node, Problem, backward, both_nodes, says_nothing


@pytest.mark.parametrize("names", [[], ["a", "b", "a"], ["a", "downstream"]])
def test_names_are_checked(names: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one name, each once"):
        GraP(names)


def trained(names: list[str], **options: Any) -> GraP:
    """A weighting whose weights and statistics are not the initial ones."""
    weighting = GraP(names, **options)
    size = len(names)
    weighting.weights.data = torch.arange(1.0, size + 1)
    weighting.running_norms.copy_(torch.rand(size))
    weighting.running_gram.copy_(torch.rand(size, size))
    weighting.running_alignment.copy_(torch.rand(size))
    return weighting


def test_state_travels_through_a_file() -> None:
    weighting = trained(["a", "b"], smoothing=0.9)
    file = io.BytesIO()
    torch.save(weighting.state_dict(), file)
    file.seek(0)
    other = GraP(["a", "b"], smoothing=0.9)
    # weights_only: nothing in the state needs unpickling of classes.
    other.load_state_dict(torch.load(file, weights_only=True))
    state = other.state_dict()
    for key in ("weights", "running_norms", "running_gram", "running_alignment"):
        assert torch.equal(state[key], weighting.state_dict()[key]), key


def test_state_fits_into_a_format_of_tensors() -> None:
    weighting, other = trained(["a", "b"]), GraP(["a", "b"])
    weighting.steps = 7
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(weighting.state_dict())))
    assert torch.equal(other.weights, weighting.weights)
    assert other.steps == 7


@pytest.mark.parametrize("names", [["b", "a"], ["a", "c"], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("inside", ["itself", "a model"])
def test_state_of_other_losses_is_refused(names: list[str], inside: str) -> None:
    stored: nn.Module = trained(["a", "b"])
    model: nn.Module = GraP(names)
    if inside == "a model":
        stored = nn.ModuleDict({"w": stored})
        model = nn.ModuleDict({"w": model})
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*same order"):
        model.load_state_dict(stored.state_dict())


@both_nodes
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [{}, {"units": "gradient"}, {"smoothing": 0.9}])
def test_a_loss_that_is_not_finite_is_named_and_leaves_no_trace(
    node: Node, bad: float, options: dict[str, Any]
) -> None:
    weighting = GraP(Problem.random().names, **options).double()
    node(Problem.random(seed=0), weighting)
    assert weighting.not_finite() == []
    weighting.weights.grad = None
    before = {key: value.clone() for key, value in weighting.named_buffers()}
    found = node(Problem.random(seed=1, scales=[1.0, bad, 1.0, 1.0]), weighting)
    assert weighting.not_finite() == ["loss1"]
    assert says_nothing(weighting)
    # The poison stays visible for whoever checks the gradients before the step.
    assert not found["encoder"].isfinite().all()
    for key, value in weighting.named_buffers():
        assert torch.equal(value, before[key]), key
    # The next good batch is as if nothing had happened.
    found = node(Problem.random(seed=2), weighting)
    assert found["encoder"].isfinite().all()
    assert weighting.weights.grad is not None
    assert weighting.weights.grad.isfinite().all()


@both_nodes
def test_a_downstream_loss_that_is_not_finite_is_named(node: Node) -> None:
    weighting = GraP(Problem.random().names, smoothing=0.9).double()
    found = node(Problem.random(scales=[1.0, 1.0, 1.0, float("nan")]), weighting)
    assert weighting.not_finite() == ["downstream"]
    assert says_nothing(weighting)
    assert not weighting.running_alignment.any()
    assert found["encoder"].isfinite().all()


@both_nodes
@pytest.mark.parametrize("options", [{}, {"rescale": "unit"}, {"units": "gradient"}])
def test_gradients_that_all_vanish_are_finite(node: Node, options: dict[str, Any]) -> None:
    weighting = GraP(Problem.random().names, **options).double()
    found = node(Problem.random(scales=[0.0, 0.0, 0.0, 1.0]), weighting)
    assert not found["encoder"].any()
    assert weighting.weights.grad is not None
    assert not weighting.weights.grad.any()


@pytest.mark.parametrize("rescale", ["equal", "unit"])
def test_opposite_losses_leave_the_weights_and_stop_the_backbone(rescale: str) -> None:
    weighting = GraP(["a", "b"], rescale=rescale)  # type: ignore[arg-type]
    z = torch.randn(50, 8).requires_grad_()
    direction = torch.randn(50, 8)
    views = weighting(z)
    a, b = (views["a"] * direction).sum(), -(views["b"] * direction).sum()
    backward(a + b + (views["downstream"] * torch.randn(50, 8)).sum())
    assert z.grad is not None
    assert weighting.weights.grad is not None
    assert not z.grad.any()
    assert not weighting.weights.grad.any()


def test_composite_norm_and_scale_by_hand() -> None:
    # g1 = (3, 0), g2 = (0, 4): 2 g1 + g2 = (6, 4).
    gram = torch.tensor([[9.0, 0.0], [0.0, 16.0]])
    norm, resolved = composite_norm(torch.tensor([2.0, 1.0]), gram)
    assert norm.item() == pytest.approx(math.sqrt(52))
    assert resolved.item()
    scale = equal_scale(torch.tensor([2.0, 1.0]), torch.ones(2), gram)
    assert scale.item() == pytest.approx(5 / math.sqrt(52))
    # Rounding may leave a small negative square where losses cancel.
    noisy = torch.tensor([[1.0, -1.0000001], [-1.0, 1.0]])
    norm, resolved = composite_norm(torch.ones(2), noisy)
    assert norm.item() == 0
    assert not resolved.item()
    assert equal_scale(torch.ones(2), torch.ones(2), noisy).item() == 0


def test_a_nearly_opposite_pair_still_counts() -> None:
    gram = torch.tensor([[1.0, -0.99], [-0.99, 1.0]])
    norm, resolved = composite_norm(torch.ones(2), gram)
    assert resolved.item()
    assert norm.item() == pytest.approx(math.sqrt(0.02), rel=1e-4)


@pytest.mark.parametrize("method", [Equal, GraP])
def test_evaluation_needs_no_gradient(method: type[Weighting]) -> None:
    bank = HeadBank(method(["a", "b"]), 4, 3)
    z = torch.randn(5, 4)
    trained_output = bank(z)["b"]
    with torch.inference_mode():
        output = bank(z)["b"]
    assert torch.equal(output, trained_output)
    assert not output.requires_grad


def test_parameter_group_fits_adam() -> None:
    weighting, encoder = GraP(["a", "b"]), nn.Linear(2, 2)
    group = weighting.parameter_group(lr=0.3)
    optimizer = torch.optim.Adam([{"params": encoder.parameters()}, group], weight_decay=0.1)
    assert optimizer.param_groups[1]["params"] == [weighting.weights]
    assert optimizer.param_groups[1]["betas"] == (0.0, 0.99)
    assert optimizer.param_groups[1]["weight_decay"] == 0
    assert optimizer.param_groups[1]["lr"] == 0.3


def test_the_documented_example_runs() -> None:
    finder: Callable[..., list[doctest.DocTest]] = doctest.DocTestFinder().find
    globals_ = {"torch": torch, "nn": nn, "GraP": GraP}
    (example,) = finder(Weighting, "Weighting", module=base, globs=globals_)[:1]
    assert len(example.examples) == 4
    results = doctest.DocTestRunner().run(example)
    assert results.failed == 0
