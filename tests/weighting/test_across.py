"""Products of different batches' gradients: by explicit sums, by a layer that is really there."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from grap_seq.weighting import GraP
from grap_seq.weighting.across import AcrossBatches
from grap_seq.weighting.statistics import GradientStatistics
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
    assert weighting.statistics.layer is None
    assert weighting.across is not None
    assert weighting.across.mean is not None
    layer = weighting.across.mean / (1 - DECAY)
    assert_same({"layer": layer}, {"layer": problem.layer()}, 1e-12)
    products = problem.layer() @ problem.layer().T
    assert_same({"full": weighting.statistics.full}, {"full": products}, 1e-12)


@both_nodes
def test_weights_learn_from_different_batches(node: Node) -> None:
    """Until there are two batches nothing; then equation 15 with products of different ones."""
    batches = problems(8)
    weighting = remembering(batches[0])
    weighting.weights.data = torch.tensor([0.5, 1.5, 1.0]).double()
    layers = [problem.layer() for problem in batches]
    for number, problem in enumerate(batches):
        weighting.weights.grad = None
        node(problem, weighting)
        if number == 0:
            assert says_nothing(weighting)
            continue
        seen = layers[: number + 1]
        gram, between = pairs(seen, different=False), pairs(seen, different=True)
        # Rows whose products are C, and a direction whose products with them are p.
        rows = torch.linalg.cholesky(gram[:3, :3])
        down = torch.linalg.solve(rows, between[:3, 3])
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
    assert some.across.batches == 4
    assert_same(dict(all_of_them.across.named_buffers()), dict(some.across.named_buffers()), 1e-12)


def test_noise_in_common_is_no_evidence() -> None:
    """Losses' gradients point where the label's does; their noise is the label's, reversed."""
    torch.manual_seed(0)
    across = AcrossBatches(3, 0.99)
    direction = torch.zeros(50)
    direction[0] = 1
    for _ in range(600):
        noise = torch.randn(50)
        useless = torch.randn(50)
        rows = [direction - noise, 0.5 * direction - noise, useless, direction + noise]
        across.add(torch.stack(rows), torch.tensor(True))
    assert across.believed
    # Within a batch: 1 - 50, and 0.5 - 50.
    assert (across.gram[:2, 3] < -40).all()
    means, errors = across.alignment, across.error
    for mean, error, true in zip(means, errors, (1.0, 0.5, 0.0), strict=True):
        assert float(mean) == pytest.approx(true, abs=4 * float(error))
    shrunk = across.shrunk(means, 2.0)
    assert float(shrunk[0]) == pytest.approx(float(means[0] - 4 * errors[0] ** 2 / means[0]))
    assert float(shrunk[2]) == 0
    assert torch.equal(across.shrunk(means, 0.0), means)
    lengths = (51**0.5, 50.25**0.5, 50**0.5)
    for found, mean, length in zip(across.cosines, means, lengths, strict=True):
        assert float(found) == pytest.approx(float(mean) / length / 51**0.5, rel=0.1)


def test_errors_are_those_of_many_repetitions() -> None:
    """Of two losses and a label that are nothing but noise of other lengths."""
    torch.manual_seed(0)
    found, errors = [], []
    for _ in range(200):
        across = AcrossBatches(2, 0.95)
        for _ in range(120):
            rows = torch.randn(3, 30) * torch.tensor([[1.0], [5.0], [2.0]])
            across.add(rows, torch.tensor(True))
        found.append(across.alignment)
        errors.append(across.error)
    spread = torch.stack(found).std(0)
    assert torch.stack(errors).mean(0).tolist() == pytest.approx(spread.tolist(), rel=0.15)


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


def test_the_summary_tells_what_different_batches_say() -> None:
    torch.manual_seed(0)
    weighting = GraP(["good", "useless"], memory=0.99)
    assert weighting.across is not None
    for _ in range(600):
        noise = torch.randn(50)
        noise[0] = 0
        direction = torch.zeros(50)
        direction[0] = 3
        rows = torch.stack([direction - noise, torch.randn(50), direction + noise])
        statistics = GradientStatistics.from_full_gram(rows @ rows.T, layer=rows)
        weighting.cosines.see(statistics)
        weighting.update(statistics)
    assert weighting.cosines.mean[0] < -0.6
    told = weighting.summary().splitlines()
    cosine = float(weighting.across.cosines[0])
    assert told[0] == f"good: weight 1.00, helps the task (mean cosine {cosine:+.3f})"
    # 9 / (9 + 49), though in every batch it is (9 - 49) / (9 + 49).
    assert cosine == pytest.approx(9 / 58, abs=0.03)
    assert told[1].startswith("useless: weight 1.00, cannot be told from neutral")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 1.0}, "memory=1.0: a decay lies in"),
        ({"memory": 0.9, "smoothing": 0.5}, "leave out smoothing"),
    ],
)
def test_what_does_not_go_together(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraP(["a", "b"], **options)  # type: ignore[arg-type]
