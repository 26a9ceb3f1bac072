"""The weights as a tensor: whose parameter they are, whose gradient, what moves and copies them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grap_seq.weighting import GradNorm, GraP
from tests.weighting.methods import METHODS, Net, batch, every_method
from tests.weighting.oracle import Problem, backward, through_split


def train(net: Net, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for seed in steps:
        optimizer.zero_grad()
        backward(net(batch(seed)))
        optimizer.step()


def assert_equal(ours: Net, theirs: Net) -> None:
    torch.testing.assert_close(
        ours.state_dict(), theirs.state_dict(), rtol=0, atol=0, equal_nan=True
    )


def test_an_optimiser_of_all_parameters_leaves_the_weights_alone() -> None:
    net, plain = Net(GraP), Net(GraP)
    assert all(parameter is not net.weighting.weights for parameter in net.parameters())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    train(net, optimizer, range(3))
    assert net.weighting.weights.tolist() == [1.0, 1.0, 1.0]
    # From here on they learn, at their own rate and without decay.
    net.weighting.weights.grad = None
    optimizer.add_param_group(net.weighting.parameter_group(0.05))
    train(net, optimizer, range(3, 8))
    other = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.5)
    train(plain, other, range(3))
    weights = plain.weighting.weights
    alone = torch.optim.Adam([weights], lr=0.05, betas=(0.0, 0.99))
    for seed in range(3, 8):
        weights.grad = None
        train(plain, other, range(seed, seed + 1))
        alone.step()
    assert_equal(net, plain)
    assert (weights - 1).abs().max() > 0.05


@every_method
@pytest.mark.parametrize("together", [True, False])
def test_a_copy_is_another_model_in_the_same_state(method: str, together: bool) -> None:
    net = Net(METHODS[method])
    optimizer = net.optimizer()
    train(net, optimizer, range(2))
    if together:
        other, again = copy.deepcopy((net, optimizer))
    else:
        other = pickle.loads(pickle.dumps(net))
        again = other.optimizer()
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    before = net.weighting.weights.clone()
    train(other, again, range(2, 5))
    assert torch.equal(net.weighting.weights, before)
    train(net, optimizer, range(2, 5))
    assert_equal(other, net)


def test_the_optimiser_still_holds_weights_that_changed_their_type() -> None:
    net, plain = Net(GraP), Net(GraP)
    optimizer, other = net.optimizer(), plain.optimizer()
    backward(net(batch(9)))
    backward(plain(batch(9)))
    net.float()
    assert net.weighting.weights.grad is not None
    assert net.weighting.weights.grad.dtype == net.weighting.weights.dtype == torch.float32
    net.double()
    for group in optimizer.param_groups:
        group["params"][0].grad = None
    plain.float().double()
    train(net, optimizer, range(4))
    train(plain, other, range(4))
    assert_equal(net, plain)
    assert (net.weighting.weights - 1).abs().max() > 0.05


def test_weights_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        net = Net(GraP)
    net.to_empty(device="cpu")
    net.load_state_dict(Net(GraP).state_dict())
    train(net, net.optimizer(), range(1))
    assert net.weighting.weights.isfinite().all()


def test_a_checkpoint_of_weights_that_were_a_parameter() -> None:
    """The key is the same as it always was."""
    net = Net(GraP)
    stored = {key: value for key, value in net.state_dict().items() if key.endswith("weights")}
    assert set(stored) == {"weighting.weights", "bank.weighting.weights"}
    state = net.state_dict() | dict.fromkeys(
        stored, torch.nn.Parameter(torch.tensor([0.5, 1.0, 1.5]), requires_grad=False)
    )
    net.load_state_dict(state)
    assert net.weighting.weights.tolist() == [0.5, 1.0, 1.5]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_zeroing_the_models_gradients_is_enough(accumulate: int) -> None:
    """Some trainers call `model.zero_grad()`, which knows parameters alone."""
    nets = [Net(GraP), Net(GraP)]
    for net, through_model in zip(nets, (True, False), strict=True):
        optimizer = net.optimizer()
        for step in range(4):
            (net if through_model else optimizer).zero_grad()
            for micro in range(accumulate):
                labelled = torch.full((40,), step != 2)
                backward(net(batch(2 * step + micro), labelled) / accumulate)
                net.weighting.log()
            optimizer.step()
    assert_equal(*nets)


@given(st.lists(st.floats(-1, 5, width=32), min_size=1, max_size=64), st.booleans())
def test_normalising_twice_changes_nothing(values: list[float], double: bool) -> None:
    weighting = GraP([str(index) for index in range(len(values))])
    weighting.weights.copy_(torch.tensor(values))
    if double:
        weighting.double()
    weighting.normalize_weights()
    once = weighting.weights.clone()
    assert once.mean().item() == pytest.approx(1, rel=1e-6)
    weighting.normalize_weights()
    assert torch.equal(weighting.weights, once)


@pytest.mark.parametrize("kind", [GradNorm, GraP])
def test_the_log_after_the_optimisers_step_is_that_of_the_batch(kind: type[GraP]) -> None:
    problem = Problem.random(scales=[1.0, 5.0, 0.2, 3.0])
    weighting = kind(problem.names).double()
    optimizer = torch.optim.SGD([weighting.parameter_group(0.5)])
    through_split(problem, weighting)
    gradients, _ = problem.stacked()
    plain = float(gradients.sum(0).norm())
    for moved in (False, True):
        log = weighting.log()
        assert log["composite_norm"] == pytest.approx(plain), moved
        assert [log[f"effective/{name}"] for name in problem.names] == pytest.approx([1.0] * 3)
        optimizer.step()
    assert (weighting.weights - 1).abs().max() > 0.1
