"""Products of different batches' gradients: by explicit sums, by a layer that is really there."""

from __future__ import annotations

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


def averages(values: list[Tensor]) -> list[Tensor]:
    """The plain mean of up to five, then a moving average: after each value."""
    found = list[Tensor]()
    for number, value in enumerate(values, 1):
        share = max(1 / number, 1 - DECAY)
        found.append(value if number == 1 else (1 - share) * found[-1] + share * value)
    return found


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
    # The mean of one batch.
    assert weighting.across is not None
    layer = weighting.across.mean
    assert layer is not None
    wanted = torch.zeros_like(layer) if 3 in absent else problem.layer()
    assert_same({"layer": layer}, {"layer": wanted}, 1e-12)
    products = problem.layer() @ problem.layer().T
    assert_same({"full": weighting.statistics.full}, {"full": products}, 1e-12)


@both_nodes
def test_weights_learn_from_different_batches(node: Node) -> None:
    """Until there are two batches nothing; then equation 15 with products of different ones."""
    batches = problems(8)
    weighting = remembering(batches[0])
    weighting.weights.data = torch.tensor([0.5, 1.5, 1.0]).double()
    layers = [problem.layer() for problem in batches]
    means, crossed = averages(layers), list[Tensor]()
    for number, problem in enumerate(batches):
        weighting.weights.grad = None
        node(problem, weighting)
        if number == 0:
            assert says_nothing(weighting)
            continue
        before, now = means[number - 1], layers[number]
        crossed.append(torch.stack([before[k] @ now[3] + now[k] @ before[3] for k in range(3)]) / 2)
        gram = averages([one @ one.T for one in layers[: number + 1]])[-1]
        # Rows whose products are C, and a direction whose products with them are p.
        rows = torch.linalg.cholesky(gram[:3, :3])
        down = torch.linalg.solve(rows, averages(crossed)[-1])
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
    means, errors = across.products.mean, across.products.error
    for mean, error, true in zip(means, errors, (1.0, 0.5, 0.0), strict=True):
        assert float(mean) == pytest.approx(true, abs=4 * float(error))
    assert float(errors.max()) < 0.25
    shrunk = across.alignment(2.0)
    assert float(shrunk[0]) == pytest.approx(float(means[0] - 4 * errors[0] ** 2 / means[0]))
    assert float(shrunk[2]) == 0
    assert torch.equal(across.alignment(0.0), means)
    lengths = (51**0.5, 50.25**0.5, 50**0.5)
    for found, mean, length in zip(across.cosines, means, lengths, strict=True):
        assert float(found) == pytest.approx(float(mean) / length / 51**0.5, rel=0.1)


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
        rows = [direction - noise, torch.randn(50), direction + noise]
        weighting.across.add(torch.stack(rows), torch.tensor(True))
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
