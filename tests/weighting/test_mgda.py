"""MGDA: optimality conditions, worked examples, and TorchJD's solver."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchjd.aggregation import MGDAWeighting

from grap_seq.weighting import MGDA
from grap_seq.weighting.mgda import shortest
from tests.weighting.oracle import Problem, through_bank


def gradients(seed: int, losses: int, size: int, exponents: list[float]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(losses, size, generator=generator, dtype=torch.float64)
    scales: Tensor = 10 ** torch.tensor(exponents[:losses]).double()
    return rows * scales[:, None]


@given(
    st.integers(0, 10**6),
    st.integers(1, 8),
    st.integers(1, 12),
    st.lists(st.floats(-8, 8), min_size=8, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_no_other_point_of_the_simplex_is_shorter(
    seed: int, losses: int, size: int, exponents: list[float]
) -> None:
    """The conditions of Karush, Kuhn and Tucker, at any scale and rank of the Gram matrix."""
    rows = gradients(seed, losses, size, exponents)
    found = shortest(rows @ rows.T)
    assert (found >= 0).all()
    assert found.sum().item() == pytest.approx(1)
    composite = found @ rows
    slopes, square = rows @ composite, composite @ composite
    # No vertex lies in front of the plane through the solution, up to rounding in C.
    lengths = rows.norm(dim=1)
    assert (slopes >= square - 1e-6 * lengths * lengths.min()).all()


@pytest.mark.parametrize("scale", [1.0, 1e-15, 1e12])
@pytest.mark.parametrize(
    ("gram", "wanted"),
    [
        ([[1.0, -1.0], [-1.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [1 / 3] * 3),
        ([[1.0, 0.0], [0.0, 100.0]], [100 / 101, 1 / 101]),
        # The second gradient lies behind the first: it takes no part.
        ([[1.0, 2.0], [2.0, 5.0]], [1.0, 0.0]),
        ([[4.0]], [1.0]),
    ],
)
def test_worked_examples(gram: list[list[float]], wanted: list[float], scale: float) -> None:
    found = shortest(scale * torch.tensor(gram).double())
    assert found.tolist() == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("seed", range(10))
def test_torchjd_creeps_towards_it(seed: int) -> None:
    """Its Frank-Wolfe steps never get below the exact solution, and near it in the end."""
    rows = gradients(seed, 5, 7, [0.0, 1.0, -1.0, 0.5, 0.0])
    gram = rows @ rows.T
    ours = shortest(gram)
    theirs = MGDAWeighting(epsilon=1e-12, max_iters=2_000)(gram)
    assert ours @ gram @ ours <= theirs @ gram @ theirs * (1 + 1e-9)
    torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=0)


def test_unit_gradients() -> None:
    problem = Problem.random(scales=[1.0, 1000.0, 0.01, 1.0])
    weighting = MGDA(problem.names, normalization="norm").double()
    through_bank(problem, weighting)
    rows, _ = problem.stacked()
    norms = rows.norm(dim=1)
    units = rows / norms[:, None]
    wanted = shortest(units @ units.T) * norms.mean() / norms
    torch.testing.assert_close(weighting.weights.detach(), wanted)
    # Raw, the shortest gradient takes nearly all.
    raw = MGDA(problem.names).double()
    through_bank(problem, raw)
    assert raw.weights[2] > 0.99
    with pytest.raises(ValueError, match="normalization='l2'"):
        MGDA(["a"], normalization="l2")  # type: ignore[arg-type]


def test_an_absent_loss_is_not_the_shortest_gradient() -> None:
    problem = Problem.random(absent=[1])
    weighting = MGDA(problem.names).double()
    through_bank(problem, weighting)
    rows, _ = problem.stacked()
    kept = rows[[0, 2]]
    wanted = shortest(kept @ kept.T)
    assert weighting.weights.tolist() == pytest.approx([float(wanted[0]), 0.0, float(wanted[1])])
