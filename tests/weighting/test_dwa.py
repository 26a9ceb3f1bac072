"""DWA against its formula, epoch by epoch."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.weighting import DWA
from tests.weighting.oracle import backward


def epoch(weighting: DWA, rows: list[list[float | None]]) -> list[float]:
    """One epoch with given losses, a row a batch; returns the weights it was trained with."""
    weighting.start_epoch()
    for row in rows:
        z = torch.zeros(2, requires_grad=True)
        parts = zip(weighting(z).items(), row, strict=False)
        losses = {name: value + view.sum() for (name, view), value in parts if value is not None}
        backward(weighting.total(losses))
    return list(weighting.named_weights().values())


def softmax(*values: float) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [len(values) * power / sum(powers) for power in powers]


def test_by_hand() -> None:
    weighting = DWA(["a", "b"])
    assert epoch(weighting, [[1.0, 1.0], [1.0, 3.0]]) == [1.0, 1.0]  # means 1, 2
    assert epoch(weighting, [[0.25, 4.0], [0.75, 4.0]]) == [1.0, 1.0]  # means 0.5, 4
    # Ratios 0.5 and 2, divided by T = 2.
    assert epoch(weighting, [[0.5, 1.0]]) == pytest.approx(softmax(0.25, 1.0))
    # Ratios 1 and 0.25.
    assert epoch(weighting, [[0.5, 1.0]]) == pytest.approx(softmax(0.5, 0.125))


def test_temperature() -> None:
    weighting = DWA(["a", "b"], temperature=0.5)
    for row in ([1.0, 2.0], [0.5, 4.0]):
        epoch(weighting, [[*row]])
    assert epoch(weighting, [[1.0, 1.0]]) == pytest.approx(softmax(1.0, 4.0))
    with pytest.raises(ValueError, match="temperature=0"):
        DWA(["a"], temperature=0)


def test_a_loss_that_is_absent_or_diverged_does_not_count() -> None:
    weighting = DWA(["a", "b"])
    epoch(weighting, [[1.0, 2.0], [1.0, None]])  # means 1, 2
    epoch(weighting, [[0.5, None]])  # b: no value in this epoch
    assert epoch(weighting, [[0.5, 1.0], [math.nan, 1.0]]) == pytest.approx(softmax(0.25, 0.5))
    # a: 0.5 / 0.5 over finite batches' sum and count; b's last known epoch is the first.
    assert epoch(weighting, [[1.0, 1.0]]) == pytest.approx(softmax(0.5, 0.25))


def test_losses_are_needed() -> None:
    weighting = DWA(["a"])
    weighting.start_epoch()
    backward(weighting(torch.zeros(2, requires_grad=True))["a"].sum())
    with pytest.raises(ValueError, match="DWA needs the values"):
        weighting.start_epoch()


def test_weights_of_constant_losses_are_equal_and_reach_the_backbone() -> None:
    weighting = DWA(["a", "b"])
    for row in ([1.0, 2.0], [0.5, 4.0], [1.0, 1.0]):
        weights = epoch(weighting, [[*row]])
    z = torch.zeros(2, requires_grad=True)
    views = weighting(z)
    directions = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([0.0, 1.0])}
    backward(weighting.total({name: views[name] @ to for name, to in directions.items()}))
    assert z.grad is not None
    assert z.grad.tolist() == pytest.approx(weights)
