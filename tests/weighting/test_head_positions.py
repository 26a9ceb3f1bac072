"""Heads that look at some positions only are dense heads that are indexed afterwards."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from grap_seq.weighting import HeadBank, head_bank
from tests.weighting.methods import METHODS, every_method
from tests.weighting.oracle import backward

NAMES = ("a", "b", "c")
POSITIONS = 23
# Chunks of 4 positions: "a" has positions on both sides of a border, a chunk without any, and one
# that stands three times; "downstream" has the first and the last position.
SPARSE = {
    "a": torch.tensor([0, 3, 4, 4, 4, 5, 7, 16, 21]),
    "c": torch.tensor([22]),
    "downstream": torch.tensor([0, 1, 9, 22]),
}


def train(method: str, indexed: bool, sparse: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients and statistics of two batches, with positions in the bank or indexing behind it."""
    torch.manual_seed(0)
    weighting = METHODS[method](NAMES)
    weighting.watching = True
    encoder, bank = nn.Linear(3, 5), HeadBank(weighting, 5, 4)
    seconds = nn.ModuleDict({name: nn.Linear(4, 2) for name in weighting.views})
    model = nn.ModuleList([encoder, bank, seconds]).double()
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        z = torch.tanh(encoder(torch.randn(POSITIONS, 3, generator=generator).double()))
        hidden = bank(z, sparse) if indexed else bank(z)
        losses = {}
        for factor, (name, values) in enumerate(hidden.items(), 1):
            if name in sparse and not indexed:
                values = values[sparse[name]]
            assert len(values) == len(sparse.get(name, z))
            losses[name] = factor * (seconds[name](torch.tanh(values)) - 1).square().sum()
        backward(weighting.total(losses))
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    statistics = weighting.statistics
    assert statistics is not None
    if weighting.weights.grad is not None:
        found["weights"] = weighting.weights.grad
    log = {key: torch.tensor(value) for key, value in weighting.log().items()}
    return {**found, "C": statistics.gram, "p": statistics.alignment, **log}


@every_method
@pytest.mark.parametrize("chunk", [4, 1, 1 << 10])
def test_indexing_before_is_indexing_afterwards(method: str, chunk: int) -> None:
    with (
        mock.patch.object(head_bank, "CHUNK_ELEMENTS", 1),
        mock.patch.object(head_bank, "CHUNK_POSITIONS", chunk),
    ):
        found, wanted = (train(method, indexed, SPARSE) for indexed in (True, False))
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("name", ["a", "downstream"])
def test_no_position_at_all(name: str) -> None:
    sparse = {name: torch.zeros(0, dtype=torch.int64)}
    found, wanted = (train("grap", indexed, sparse) for indexed in (True, False))
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12, msg=key)


def test_by_hand() -> None:
    """Weights 1, 2 at positions 0, 2, 2: the gradients meet where both heads look."""
    bank = HeadBank(METHODS["equal"](["a"]), 1, 1)
    bank.weight.data = torch.tensor([[[2.0]], [[1.0]]])
    bank.bias.data.zero_()
    z = torch.tensor([[1.0], [10.0], [100.0]], requires_grad=True)
    hidden = bank(z, {"a": torch.tensor([0, 2, 2])})
    assert hidden["a"].tolist() == [[2.0], [200.0], [200.0]]
    assert hidden["downstream"].tolist() == z.tolist()
    backward((hidden["a"] * torch.tensor([[1.0], [3.0], [5.0]])).sum())
    assert z.grad is not None
    assert z.grad.tolist() == [[2.0], [0.0], [16.0]]
    assert bank.weight.grad is not None
    assert bank.weight.grad[0].tolist() == [[801.0]]


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"d": torch.tensor([0])}, r"positions for \['d'\]: the heads are called \['a', 'b', 'c'"),
        ({"a": torch.tensor([True, False])}, "'a' are torch.bool of shape"),
        ({"a": torch.tensor([[0]])}, r"shape \(1, 1\): give a vector of int64"),
        ({"a": torch.tensor([1, 0])}, "'a' are not sorted: sort them"),
    ],
)
def test_wrong_positions_are_refused(positions: dict[str, Tensor], message: str) -> None:
    bank = HeadBank(METHODS["equal"](NAMES), 5, 4)
    with pytest.raises(ValueError, match=message):
        bank(torch.zeros(2, 5), positions)
