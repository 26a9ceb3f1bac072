"""C, p and their accumulation, against matrices of whole vectors."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.weighting.statistics import GradientStatistics, accumulate, empty_gram


def test_statistics_of_vectors() -> None:
    vectors = torch.tensor([[3.0, 0.0, 4.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    statistics = GradientStatistics.from_full_gram(vectors @ vectors.T)
    assert statistics.gram.tolist() == [[25.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
    assert statistics.alignment.tolist() == [4.0, 2.0, 0.0]
    assert statistics.downstream_norm.item() == pytest.approx(math.sqrt(2))
    assert statistics.norms.tolist() == [5.0, 2.0, 0.0]
    wanted = [4 / (5 * math.sqrt(2)), 2 / (2 * math.sqrt(2)), 0.0]
    assert statistics.cosines.tolist() == pytest.approx(wanted)


def test_cosines_are_zero_without_labels() -> None:
    vectors = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert GradientStatistics.from_full_gram(vectors @ vectors.T).cosines.tolist() == [0.0]


@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 0)])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_every_entry_counts_for_finiteness(place: tuple[int, int], bad: float) -> None:
    full = torch.eye(3)
    found = GradientStatistics.from_full_gram(full)
    assert found.finite
    assert torch.equal(found.or_nothing().gram, found.gram)
    full[place] = bad
    found = GradientStatistics.from_full_gram(full, torch.ones(2))
    assert not found.finite
    nothing = found.or_nothing()
    for product in (nothing.gram, nothing.alignment, nothing.downstream_norm):
        assert not product.any()
    assert nothing.losses.isnan().all()


@pytest.mark.parametrize("losses", [1, 4, 32, 33, 65])
def test_chunks_add_up(losses: int) -> None:
    rows = torch.randn(losses, 101, dtype=torch.float64)
    full = empty_gram(losses, rows)
    for part in torch.split(rows, 10, dim=1):
        accumulate(full, part)
    torch.testing.assert_close(full, rows @ rows.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_accumulated_in_float32(dtype: torch.dtype) -> None:
    # 4096 times 1.0625 squared: both low precisions stop growing long before the end.
    rows = torch.full((2, 4096), 1.0625, dtype=dtype)
    full = empty_gram(2, rows)
    for part in torch.split(rows, 16, dim=1):
        accumulate(full, part)
    assert full.dtype == torch.float32
    assert full.flatten().tolist() == [4096 * 1.0625**2] * 4
