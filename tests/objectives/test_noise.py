"""A loss of pure noise: as large as it should be, and the same whatever the states are."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.objectives.noise import RandomTargets
from tests.data.toy import SCHEMA
from tests.objectives.test_composite import batch_of


def test_nothing_can_be_learned_from_it() -> None:
    torch.manual_seed(0)
    head = RandomTargets(SCHEMA, 4)
    hidden = torch.randn(200_000, 4)
    with torch.no_grad():
        head.output.weight.zero_()
        head.output.bias.zero_()
        # Of a standard normal number: the root of 2 / pi.
        loss = head(hidden, batch_of())
    assert loss.item() == pytest.approx(math.sqrt(2 / math.pi), rel=0.01)
    first, second = (head(hidden, batch_of()) for _ in range(2))
    assert first != second
