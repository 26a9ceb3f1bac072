"""Products of different batches' gradients: by explicit sums, by a layer that is really there."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from grap_seq.weighting import GraP
from grap_seq.weighting.across import AcrossBatches
from tests.weighting.oracle import (
    Node,
    Problem,
    ascent,
    assert_same,
    both_nodes,
    says_nothing,
    through_bank,
    through_split,
)

DECAY = 0.8


def problems(count: int, absent: tuple[int, ...] = ()) -> list[Problem]:
    """Batches of one model: other inputs and targets."""
    first = Problem.random(0, absent=absent)
    others = [Problem.random(seed, absent=absent) for seed in range(1, count)]
    for other in others:
        other.encoder, other.weight, other.bias = first.encoder, first.weight, first.bias
        other.second = first.second
    return [first, *others]


def shares(count: int) -> Tensor:
    """Of batches in a moving average, the last one last."""
    return (1 - DECAY) * DECAY ** torch.arange(count - 1, -1, -1).double()


def pairs(layers: list[Tensor], different: bool) -> Tensor:
    """Mean product over pairs of batches, one by one: (J, J)."""
    a = shares(len(layers))
    found, weight = torch.zeros(len(layers[0]), len(layers[0])).double(), 0.0
    for (i, first), (j, second) in product(enumerate(layers), repeat=2):
        if different and i != j:
            found += a[i] * a[j] * first @ second.T
            weight += float(a[i] * a[j])
        if not different and i == j:
            found += a[i] * first @ second.T
            weight += float(a[i])
    return found / weight


def remembering(problem: Problem, **options: float) -> GraP:
    weighting = GraP(problem.names, memory=DECAY, **options).double()  # type: ignore[arg-type]
    assert weighting.across is not None
    weighting.across.enough = 2
    return weighting


@both_nodes
@pytest.mark.parametrize("absent", [(), (1,), (0, 2)])
def test_gradients_of_a_layer_that_is_there(node: Node, absent: tuple[int, ...]) -> None:
    (problem,) = problems(1, absent)
    weighting = remembering(problem)
    node(problem, weighting)
    assert weighting.statistics is not None
    layer = weighting.statistics.layer
    assert layer is not None
    assert_same({"layer": layer}, {"layer": problem.layer()}, 1e-12)
    products = problem.layer() @ problem.layer().T
    assert_same({"full": weighting.statistics.full}, {"full": products}, 1e-12)


@both_nodes
def test_weights_learn_from_pairs_of_different_batches(node: Node) -> None:
    batches = problems(6)
    weighting, seen = remembering(batches[0]), list[Tensor]()
    weighting.weights.data = torch.tensor([0.5, 1.5, 1.0]).double()
    for number, problem in enumerate(batches):
        weighting.weights.grad = None
        node(problem, weighting)
        seen.append(problem.layer())
        if number == 0:
            assert says_nothing(weighting)
            continue
        across = weighting.across
        assert across is not None
        between, within = pairs(seen, different=True), pairs(seen, different=False)
        assert_same({"b": across.between, "w": across.inside}, {"b": between, "w": within}, 1e-9)
        # Equation 15 with rows whose products are C, and a direction whose products are p.
        rows = torch.linalg.cholesky(within[:-1, :-1])
        down = torch.linalg.solve(rows, between[:-1, -1])
        wanted = -ascent(weighting.weights, rows, down, "gradnorm")
        assert weighting.weights.grad is not None
        assert_same({"w": weighting.weights.grad}, {"w": wanted}, 1e-7)


def test_a_batch_without_labels_has_no_part() -> None:
    labelled, without = problems(4), problems(4, (3,))
    some, all_of_them = remembering(labelled[0]), remembering(labelled[0])

    for number, problem in enumerate(labelled):
        through_bank(problem, some)
        through_bank(problem, all_of_them)
        through_bank(without[number], all_of_them)
    assert some.across is not None
    assert all_of_them.across is not None
    assert_same(dict(all_of_them.across.named_buffers()), dict(some.across.named_buffers()), 1e-12)


def test_noise_in_common_is_no_evidence() -> None:
    """Two losses' gradients point where the label's does; their noise is the label's, reversed."""
    torch.manual_seed(0)
    across = AcrossBatches(3, 0.99)
    direction = torch.zeros(50)
    direction[0] = 1
    for _ in range(400):
        noise = torch.randn(50)
        layer = torch.stack([direction - noise, 0.5 * direction - noise, direction + noise])
        across.add(layer, torch.tensor(True))
    assert across.believed
    assert (across.inside[:2, 2] < -30).all()
    assert across.between[:2, 2].tolist() == pytest.approx([1.0, 0.5], abs=0.2)


def test_averages_are_stored_and_go_on() -> None:
    batches = problems(5)
    straight, before = remembering(batches[0]), remembering(batches[0])

    for problem in batches[:3]:
        through_split(problem, straight)
        through_split(problem, before)
    after = remembering(batches[0])
    after.load_state_dict(before.state_dict())
    for problem in batches[3:]:
        through_split(problem, straight)
        after.weights.grad = None
        through_split(problem, after)
    assert straight.across is not None
    assert after.across is not None
    found, wanted = (dict(one.named_buffers()) for one in (after.across, straight.across))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 1.0}, "memory=1.0: a decay lies in"),
        ({"memory": 0.9, "smoothing": 0.5}, "leave out smoothing"),
        ({"memory": 0.9, "caution": 1.0}, "leave out smoothing, caution"),
    ],
)
def test_what_does_not_go_together(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraP(["a", "b"], **options)  # type: ignore[arg-type]
