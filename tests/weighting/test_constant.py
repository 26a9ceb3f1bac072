"""Weights that do not learn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from grap_seq.weighting import Equal, Fixed, Weighting
from tests.sealed import reseal
from tests.weighting.oracle import Node, Problem, assert_same, both_nodes, expected, rescaled


@both_nodes
@pytest.mark.parametrize("absent", [[], [1], [3], [0, 3]])
def test_equal_sends_the_plain_sum(node: Node, absent: list[int]) -> None:
    problem = Problem.random(scales=[1.0, 30.0, 0.2, 5.0], absent=absent)
    found = node(problem, Equal(problem.names).double())
    gradients, _ = problem.stacked()
    assert_same(found, expected(problem, gradients.sum(0)), 1e-12)


@both_nodes
@pytest.mark.parametrize("absent", [[], [1], [3]])
def test_fixed_sends_the_weighted_sum_with_the_norm_of_the_plain_one(
    node: Node, absent: list[int]
) -> None:
    problem = Problem.random(scales=[1.0, 30.0, 0.2, 5.0], absent=absent)
    # Given in another order than the losses, and with a mean that is not 1.
    weighting = Fixed(problem.names, {"loss2": 0.0, "loss0": 4.0, "loss1": 0.5}).double()
    found = node(problem, weighting)
    gradients, _ = problem.stacked()
    weights = torch.tensor([4.0, 0.5, 0.0]).double()
    assert_same(found, expected(problem, rescaled(weights, gradients)), 1e-12)
    assert weighting.named_weights() == {"loss0": 4.0, "loss1": 0.5, "loss2": 0.0}


@both_nodes
def test_weights_that_differ_by_a_factor_are_the_same(node: Node) -> None:
    problem = Problem.random()
    found = [
        node(problem, Fixed(problem.names, dict(zip(problem.names, w, strict=True))).double())
        for w in ([1.0, 2.0, 0.5], [8.0, 16.0, 4.0])
    ]
    assert_same(found[0], found[1], 1e-12)


@both_nodes
def test_nothing_learns(node: Node) -> None:
    problem = Problem.random()
    methods: list[Weighting] = [
        Equal(problem.names),
        Fixed(problem.names, dict.fromkeys(problem.names, 2.0)),
    ]
    for method in methods:
        node(problem, method.double())
        assert method.weights.grad is None
        assert not method.weights.requires_grad


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 1.0}, "one weight for each"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "one weight for each"),
        ({"a": 1.0, "B": 1.0}, "one weight for each"),
        ({"a": 1.0, "b": -0.1}, "at least 0"),
        ({"a": 1.0, "b": float("nan")}, "finite"),
        ({"a": 1.0, "b": float("inf")}, "finite"),
        ({"a": 0.0, "b": 0.0}, "not all 0"),
    ],
)
def test_bad_weights_are_refused(weights: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fixed(["a", "b"], weights)


def test_weights_that_are_left_out() -> None:
    assert Fixed(["a", "b", "c"], {"b": 0.5}, missing=2).named_weights() == {
        "a": 2.0,
        "b": 0.5,
        "c": 2.0,
    }
    with pytest.raises(ValueError, match=r"given for \['a', 'd'\]"):
        Fixed(["a"], {"d": 1}, missing=1)


def test_medians_of_an_earlier_run(tmp_path: Path) -> None:
    trajectory = {"step": [1, 10, 20], "weight/a": [1.0, 2.0, 9.0], "weight/b": [1.0, 0.5, 0.0]}
    pd.DataFrame({**trajectory, "cosine/a": 0.1}).to_parquet(tmp_path / "weights.parquet")
    reseal(tmp_path)
    weighting = Fixed(["b", "a"], tmp_path)
    assert weighting.named_weights() == {"b": 0.5, "a": 2.0}
    assert Fixed(["b", "a"], str(tmp_path)).named_weights() == {"b": 0.5, "a": 2.0}
    with pytest.raises(ValueError, match=r"given for \['a', 'b'\], the losses are \['a', 'c'\]"):
        Fixed(["a", "c"], tmp_path)
    with pytest.raises(FileNotFoundError, match=r"weights\.parquet does not exist"):
        Fixed(["a"], tmp_path / "other")
