"""The head bank's way on a GPU, taken on a CPU: the same gradients by a handful of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks.gpu_launches import Operations
from benchmarks.live_bytes import LiveBytes
from benchmarks.pretended import pretended
from grap_seq.weighting import GraP, HeadBank, few_kernels, head_bank
from grap_seq.weighting.few_kernels import gram_on_gpu, starts_kernels
from tests.weighting.methods import METHODS, every_method
from tests.weighting.oracle import Problem, assert_same, backward, expected, rescaled, through_bank
from tests.weighting.test_head_positions import SPARSE, train

# Heads side by side, and in chunks of one position.
WAYS = pytest.mark.parametrize("most", [1 << 20, 0], ids=["products", "chunks"])


@pytest.fixture
def gpu() -> Iterator[None]:
    with mock.patch.object(head_bank, "starts_kernels", return_value=True):
        yield


def ways(most: int) -> Any:
    return mock.patch.multiple(few_kernels, MOST_UNITS=most, CHUNK_ELEMENTS=1)


@pytest.mark.usefixtures("gpu")
@WAYS
@pytest.mark.parametrize("absent", [[], [0], [1, 2], [4]])
def test_gradients_are_those_of_separate_backward_calls(most: int, absent: list[int]) -> None:
    problem = Problem.random(losses=4, positions=11, scales=[1, 5, 0.2, 3, 2], absent=absent)
    weighting = GraP(problem.names)
    weighting.weights.data = torch.tensor([0.5, 1.0, 2.0, 0.5])
    weighting.double()
    with ways(most):
        found = through_bank(problem, weighting)
    gradients, down = problem.stacked()
    assert_same(found, expected(problem, rescaled(weighting.weights.detach(), gradients)), 1e-10)
    statistics = weighting.statistics
    assert statistics is not None
    torch.testing.assert_close(statistics.gram, gradients @ gradients.T, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(statistics.alignment, gradients @ down, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(statistics.downstream_norm, down.norm(), rtol=1e-10, atol=1e-14)


@every_method
@WAYS
@pytest.mark.parametrize("sparse", [True, False])
def test_every_method_gets_what_it_gets_on_a_cpu(method: str, most: int, sparse: bool) -> None:
    wanted = train(method, sparse, SPARSE)
    chosen = mock.patch.object(head_bank, "starts_kernels", return_value=True)
    with chosen, ways(most):
        found = train(method, sparse, SPARSE)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12, msg=key)


def operations(losses: int, positions: int, features: int) -> int:
    """Of the backward pass of a bank of 32 units a head."""
    weighting = GraP([f"loss{k}" for k in range(losses)])
    bank = HeadBank(weighting, features, 32)
    hidden = bank(torch.randn(positions, features, requires_grad=True))
    total = weighting.total({name: values.square().mean() for name, values in hidden.items()})
    with Operations() as counted:
        backward(total)
    return int(counted.count)


def test_eight_kernels() -> None:
    heads, positions, features, width = 20, 60, 16, 8
    deltas: list[torch.Tensor | None] = [torch.randn(positions, width) for _ in range(heads)]
    weight, row = torch.randn(heads, width, features), torch.rand(heads - 1)
    composite = torch.empty(positions, features)
    with Operations() as counted:
        full = gram_on_gpu(deltas, weight, row, composite)
    assert counted.count == 8
    exact = torch.stack([d.double() @ w.double() for d, w in zip(deltas, weight, strict=True)])  # type: ignore[union-attr]
    rows = exact.flatten(1)
    wanted = rows @ rows.T
    assert (full - wanted).abs().max() <= 4e-6 * wanted.diagonal().max()
    mixed = torch.einsum("j,jnh->nh", row.double(), exact[:-1])
    assert (composite - mixed).abs().max() <= 4e-6 * mixed.abs().max()


def test_a_chunk_of_formed_gradients_takes_a_handful_of_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads, positions, features, width = 65, 64, 256, 64
    deltas: list[torch.Tensor | None] = [torch.randn(positions, width) for _ in range(heads)]
    weight, composite = torch.randn(heads, width, features), torch.empty(positions, features)
    counts = []
    for chunks in (4, 8, 16):
        monkeypatch.setattr(few_kernels, "CHUNK_ELEMENTS", heads * features * positions // chunks)
        with Operations() as counted:
            gram_on_gpu(deltas, weight, torch.ones(heads - 1), composite)
        counts.append(counted.count)
    # Three once. For four chunks of gradients deltas side by side and the composite's product; for
    # each that they are formed, and multiplied.
    assert counts == [3 + 2 + 2 * 4, 3 + 2 * (2 + 2 * 4), 3 + 4 * (2 + 2 * 4)]


@pytest.mark.parametrize("heads", [20, 65])
def test_deltas_are_never_all_copied(heads: int) -> None:
    """Those of 4,000 positions take 41 and 133 MB, a chunk 4 MB and its products at most 27 MB."""
    positions, width, features = 4_000, 128, 64
    deltas: list[torch.Tensor | None] = [torch.zeros(positions, width) for _ in range(heads)]
    weight, composite = torch.zeros(heads, width, features), torch.empty(positions, features)
    held = [delta for delta in deltas if delta is not None]
    chunks = mock.patch.object(few_kernels, "CHUNK_ELEMENTS", 1 << 20)
    with chunks, LiveBytes([*held, weight, composite]) as live:
        before = live.now
        gram_on_gpu(deltas, weight, torch.ones(heads - 1), composite)
    assert live.peak - before <= 64e6


def test_their_number_does_not_grow_with_the_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = [operations(19, positions, 1024) for positions in (128, 1024)]
    monkeypatch.setattr(head_bank, "starts_kernels", lambda device: True)
    on_gpu = [operations(19, positions, 1024) for positions in (128, 1024)]
    assert on_cpu[0] < on_cpu[1]
    assert on_gpu[0] == on_gpu[1] < on_cpu[0]


def test_the_choice() -> None:
    assert not starts_kernels(torch.device("cpu"))
    assert starts_kernels(torch.device("cuda:1"))
    for own in (True, False):
        with (
            mock.patch.object(head_bank, "gram_on_gpu", wraps=gram_on_gpu) as few,
            pretended() as device,
        ):
            weighting = METHODS["grap"](("a", "b"))
            bank = HeadBank(weighting, 4, 3)
            z = torch.randn(6, 4)
            if own:
                weighting.weights = weighting.weights.to(device.device)
                bank, z = bank.to(device.device), z.to(device.device)
            hidden = bank(z.requires_grad_())
            backward(torch.stack([h.square().mean() for h in hidden.values()]).sum())
        assert few.called == own
