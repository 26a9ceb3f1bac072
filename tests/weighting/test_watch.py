"""What is logged and said about a weighting, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from grap_seq.weighting import Auxiliary, Equal, Fixed, GraP, Weighting
from grap_seq.weighting.statistics import GradientStatistics
from grap_seq.weighting.watch import RunningCosines
from tests.weighting.oracle import backward

# Gradients (3, 4), (0, 2) and (1, 0): cosines 3/5 and 0.
DIRECTIONS = {"a": [3.0, 4.0], "b": [0.0, 2.0], "downstream": [1.0, 0.0]}


def pull(weighting: Weighting, directions: dict[str, list[float]] = DIRECTIONS) -> None:
    views = weighting(torch.zeros(2, requires_grad=True))
    losses = {name: 7 + views[name] @ torch.tensor(to) for name, to in directions.items()}
    backward(weighting.total(losses))


def test_log_before_the_first_batch() -> None:
    assert GraP(["a", "b"]).log() == {"weight/a": 1.0, "weight/b": 1.0}


def test_log_by_hand() -> None:
    weighting = GraP(["a", "b"])
    weighting.weights.data = torch.tensor([1.0, 3.0])
    pull(weighting)
    # 0.5 (3, 4) + 1.5 (0, 2) = (1.5, 5), brought to the length of (3, 6).
    scale = (45 / (1.5**2 + 5**2)) ** 0.5
    assert weighting.log() == pytest.approx(
        {
            **{"loss/a": 7.0, "loss/b": 7.0, "loss/downstream": 7.0},
            **{"weight/a": 0.5, "weight/b": 1.5},
            **{"effective/a": 0.5 * scale, "effective/b": 1.5 * scale},
            **{"cosine/a": 0.6, "cosine/b": 0.0, "norm/a": 5.0, "norm/b": 2.0},
            "composite_norm": 45**0.5,
        }
    )


def test_constant_weights_are_measured_only_where_watched() -> None:
    weighting = Equal(["a", "b"])
    pull(weighting)
    assert "cosine/a" not in weighting.log()
    weighting.watching = True
    pull(weighting)
    assert weighting.log()["cosine/a"] == pytest.approx(0.6)
    assert weighting.log()["composite_norm"] == pytest.approx(45**0.5)


def test_the_downstream_gradient_counts_where_it_takes_part() -> None:
    weighting = Auxiliary(["a", "b"])
    weighting.watching = True
    pull(weighting)
    # (3, 4) + (0, 2) + (1, 0)
    assert weighting.log()["composite_norm"] == pytest.approx((4**2 + 6**2) ** 0.5)


def statistics(cosines: list[float], labelled: bool = True) -> GradientStatistics:
    """Unit gradients with given cosines to d; None of a cosine makes the loss absent."""
    down = 1.0 if labelled else 0.0
    full = torch.eye(len(cosines) + 1)
    full[:-1, -1] = full[-1, :-1] = torch.tensor(cosines) * down
    full[-1, -1] = down
    return GradientStatistics.from_full_gram(full)


def test_running_cosines_are_means_and_then_exponential_averages() -> None:
    running = RunningCosines(2)
    for row in ([0.5, -0.1], [0.1, -0.3], [0.3, 0.1]):
        running.see(statistics(row))
        running.see(statistics([9.0, 9.0], labelled=False))
    assert running.mean.tolist() == pytest.approx([0.3, -0.1])
    assert running.square.tolist() == pytest.approx([0.35 / 3, 0.11 / 3])
    for _ in range(97):
        running.see(statistics([0.0, 0.0]))
    assert running.mean.tolist() == pytest.approx([0.009, -0.003])
    for _ in range(10):
        running.see(statistics([1.0, 0.0]))
    assert running.mean.tolist() == pytest.approx(
        [1 - (1 - 0.009) * 0.99**10, -0.003 * 0.99**10], rel=1e-4
    )


def test_few_batches_are_not_believed() -> None:
    weighting = GraP(["a", "b"])
    for _ in range(19):
        weighting.cosines.see(statistics([0.5, -0.5]))
    assert "a: weight 1.00, cannot be told from neutral" in weighting.summary()
    weighting.cosines.see(statistics([0.5, -0.5]))
    assert "a: weight 1.00, helps the task (mean cosine +0.500)" in weighting.summary()


def test_running_cosines_skip_an_absent_loss() -> None:
    running = RunningCosines(2)
    running.see(statistics([0.5, -0.5]))
    full = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 1.0]])
    absent = GradientStatistics.from_full_gram(full)
    for _ in range(50):
        running.see(absent)
    assert running.mean.tolist() == [0.5, -0.5]


def test_summary_in_words() -> None:
    weighting = GraP(["helps", "hurts", "noise"])
    assert weighting.summary() == "No batch with labels has been weighed yet."
    weighting.weights.data = torch.tensor([2.8, 0.1, 0.1])
    for index in range(400):
        weighting.cosines.see(statistics([0.3, -0.2, 0.2 * (-1) ** index]))
    # The alternating cosine leaves half a step of its last value.
    assert weighting.summary().splitlines() == [
        "helps: weight 2.80, helps the task (mean cosine +0.300)",
        "hurts: weight 0.10, conflicts with the task (mean cosine -0.200)",
        "noise: weight 0.10, cannot be told from neutral (mean cosine -0.001)",
    ]
    weighting.weights.data = torch.tensor([2.98, 0.01, 0.01])
    assert "hurts: weight 0.01 (near zero), conflicts" in weighting.summary()


def test_near_zero_is_relative_to_equal_weights() -> None:
    weighting = Fixed(["a", "b"], {"a": 10.0, "b": 0.2})
    weighting.cosines.see(statistics([0.1, 0.1]))
    assert "b: weight 0.20 (near zero)" in weighting.summary()
    assert "a: weight 10.00, " in weighting.summary()


def test_summary_of_many_losses_shows_the_weights_that_moved() -> None:
    names = [f"loss{place}" for place in range(100)]
    weighting = GraP(names)
    weighting.weights.data = torch.tensor([1.0] * 99 + [3.0])
    pull(weighting, {"downstream": [1.0, 0.0]} | {name: [3.0, 4.0] for name in names})
    lines = weighting.summary().splitlines()
    assert len(lines) == 41
    assert lines[-2].startswith("loss99: weight 2.94")
    assert lines[-1] == "and 60 more losses, of weights closer to 1.00"
