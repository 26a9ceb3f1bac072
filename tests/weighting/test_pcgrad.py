"""PCGrad against projections of whole vectors, and against TorchJD."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchjd.aggregation import PCGradWeighting

from grap_seq.seeds import derived_seed
from grap_seq.weighting import PCGrad


def surgery(rows: Tensor, orders: list[list[int]]) -> Tensor:
    """Algorithm 1 on the vectors themselves."""
    total = torch.zeros_like(rows[0])
    for index, order in enumerate(orders):
        own = rows[index].clone()
        for other in order:
            if other != index and own @ rows[other] < 0:
                own -= (own @ rows[other]) / rows[other].square().sum() * rows[other]
        total += own
    return total


def orders(seed: int, step: int, size: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(derived_seed(seed, step))
    return [torch.randperm(size, generator=generator).tolist() for _ in range(size)]


def test_two_gradients_by_hand() -> None:
    rows = torch.tensor([[1.0, -1.0], [0.0, 1.0]]).double()
    found = PCGrad(["a", "b"]).solve(rows @ rows.T)
    # (1, 0) and (0.5, 0.5).
    assert (found @ rows).tolist() == pytest.approx([1.5, 0.5])


def random(seed: int, losses: int, size: int, scale: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(losses, size, generator=generator, dtype=torch.float64)
    rows[0] *= scale
    return rows


@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(2, 10),
    st.sampled_from([1e-8, 1.0, 1e8]),
    st.integers(0, 5),
)
def test_it_is_surgery_on_the_vectors(
    seed: int, losses: int, size: int, scale: float, step: int
) -> None:
    rows = random(seed, losses, size, scale)
    weighting = PCGrad([f"loss{k}" for k in range(losses)], seed=seed)
    weighting.steps = step
    found = weighting.solve(rows @ rows.T) @ rows
    wanted = surgery(rows, orders(seed, step, losses))
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-7 * float(wanted.abs().max()))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("seed", range(5))
def test_torchjd_agrees(seed: int, scale: float) -> None:
    """With two losses the order does not matter; with more, theirs comes from the global seed."""
    for losses in (2, 5):
        rows = random(seed, losses, 3, scale)
        weighting = PCGrad([f"loss{k}" for k in range(losses)], seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(seed, 0))
            theirs = PCGradWeighting()(rows @ rows.T)
        torch.testing.assert_close(weighting.solve(rows @ rows.T), theirs, rtol=1e-9, atol=0)


def test_the_order_changes_from_step_to_step_and_with_the_seed() -> None:
    rows = random(3, 6, 3, 1.0)
    gram = rows @ rows.T

    def solve(seed: int, step: int) -> list[float]:
        weighting = PCGrad([f"loss{k}" for k in range(6)], seed=seed)
        weighting.steps = step
        found: list[float] = weighting.solve(gram).tolist()
        return found

    assert solve(0, 0) == solve(0, 0)
    assert solve(0, 0) != solve(0, 1)
    assert solve(0, 0) != solve(1, 0)
