"""Auxiliary and supervised training, where the downstream gradient does reach the backbone."""

from __future__ import annotations

import pytest

from grap_seq.weighting import Auxiliary, Supervised
from tests.weighting.oracle import Node, Problem, assert_same, both_nodes, expected


@both_nodes
@pytest.mark.parametrize("absent", [[], [1], [3]])
def test_auxiliary_sends_the_plain_sum_of_all(node: Node, absent: list[int]) -> None:
    problem = Problem.random(scales=[1.0, 30.0, 0.2, 5.0], absent=absent)
    found = node(problem, Auxiliary(problem.names).double())
    gradients, down = problem.stacked()
    assert_same(found, expected(problem, gradients.sum(0) + down), 1e-12)


@both_nodes
@pytest.mark.parametrize("absent", [[], [1]])
def test_supervised_sends_the_downstream_gradient_alone(node: Node, absent: list[int]) -> None:
    problem = Problem.random(scales=[1.0, 30.0, 0.2, 5.0], absent=absent)
    found = node(problem, Supervised(problem.names).double())
    _, down = problem.stacked()
    assert_same(found, expected(problem, down), 1e-12)


@both_nodes
def test_without_labels_supervised_training_stands_still(node: Node) -> None:
    problem = Problem.random(absent=[3])
    found = node(problem, Supervised(problem.names).double())
    assert not found["encoder"].any()
