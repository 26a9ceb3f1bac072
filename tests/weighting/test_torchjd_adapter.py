"""TorchJD's weightings through the adapter, against its aggregators of whole Jacobians."""

from __future__ import annotations

import pytest
import torch
from torchjd.aggregation import Aggregator, AlignedMTL, CAGrad, GradVacWeighting, UPGrad

from grap_seq.weighting import TorchJD
from grap_seq.weighting.torchjd_adapter import methods
from tests.weighting.oracle import Node, Problem, assert_same, both_nodes, expected

PARITY: dict[str, tuple[dict[str, float], Aggregator]] = {
    "aligned_mtl": ({}, AlignedMTL()),
    "UPGrad": ({}, UPGrad()),
    "cagrad": ({"c": 0.5}, CAGrad(c=0.5)),
}


@both_nodes
@pytest.mark.parametrize("method", list(PARITY))
@pytest.mark.parametrize("scales", [[1.0] * 4, [1e-4, 1e4, 1.0, 1.0]])
def test_the_composite_is_the_aggregation_of_the_jacobian(
    node: Node, method: str, scales: list[float]
) -> None:
    options, aggregator = PARITY[method]
    problem = Problem.random(scales=scales)
    found = node(problem, TorchJD(problem.names, method, options=options).double())
    rows, _ = problem.stacked()
    # cagrad solves its problem iteratively.
    bound = 1e-4 if method == "cagrad" else 1e-8
    assert_same(found, expected(problem, aggregator(rows)), bound)


@pytest.mark.parametrize("method", sorted(set(methods()) - {"cagrad", "fairgrad", "krum"}))
def test_every_method_without_required_options_runs(method: str) -> None:
    weighting = TorchJD(["a", "b", "c"], method)
    gram = torch.tensor([[4.0, -1.0, 0.5], [-1.0, 2.0, 0.3], [0.5, 0.3, 1.0]]).double()
    assert weighting.solve(gram).isfinite().all()


def test_arguments() -> None:
    with pytest.raises(ValueError, match=r"method=adam: .*alignedmtl"):
        TorchJD(["a"], "adam")
    with pytest.raises(ValueError, match=r"cagrad does not take the options \{'d': 1\}"):
        TorchJD(["a"], "cagrad", options={"d": 1})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'grap-seq\[torchjd\]'"):
        TorchJD(["a"], "cagrad", options={"c": 0.5})


def test_random_methods_follow_the_seed_and_leave_the_global_one() -> None:
    gram = torch.eye(3).double()
    torch.manual_seed(1)
    first, again = (TorchJD(["a", "b", "c"], "gradvac").solve(gram) for _ in range(2))
    assert torch.equal(first, again)
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    random = TorchJD([*"abcdef"], "pcgrad")
    orders = []
    for random.steps in range(3):
        orders.append(random.solve(vectors @ vectors.T))
    assert len({tuple(order.tolist()) for order in orders}) == 3
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert isinstance(TorchJD(["a"], "grad_vac").method, GradVacWeighting)
