"""The contrastive loss against pytorch-lifestream's where that is right, and against loops."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ptls.frames.coles.losses.contrastive_loss import ContrastiveLoss as Theirs
from ptls.frames.coles.sampling_strategies.hard_negative_pair_selector import (
    HardNegativePairSelector,
)
from torch import Tensor
from torch.nn import functional as F

from grap_seq.objectives.coles import ColesHead, ContrastiveLoss
from grap_seq.objectives.means import Mean


def contrastive(embeddings: Tensor, owners: Tensor, *arguments: Any, **options: Any) -> Mean:
    found: Mean = ContrastiveLoss(*arguments, **options)(embeddings, owners, [owners.numpy()])
    return found


def contrastive_loss(*arguments: Any, **options: Any) -> Tensor:
    return contrastive(*arguments, **options).loss


def points(owners: list[int], seed: int = 0, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(owners), size, generator=generator, dtype=torch.float64)
    return F.normalize(rows, dim=1), torch.tensor(owners)


def by_loops(
    embeddings: Tensor, owners: Tensor, margin: float, negatives: int
) -> tuple[list[float], list[float]]:
    """Terms of positive pairs, and of each row's nearest rows of other owners."""
    rows = range(len(owners))

    def distance(i: int, j: int) -> float:
        # pairwise_distance adds 1e-6 to each difference.
        return float((embeddings[i] - embeddings[j] + 1e-6).norm())

    positive = [distance(i, j) ** 2 for i, j in combinations(rows, 2) if owners[i] == owners[j]]
    negative = []
    for i in rows:
        others = sorted(distance(i, j) for j in rows if owners[i] != owners[j])
        negative += [max(0.0, margin - d) ** 2 for d in others[:negatives]]
    return positive, negative


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=14),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.5]),
    st.integers(0, 10**6),
)
@settings(max_examples=50)
def test_loss_is_that_of_the_loops(
    owners: list[int], negatives: int, margin: float, seed: int
) -> None:
    embeddings, numbers = points(owners, seed)
    positive, negative = by_loops(embeddings, numbers, margin, negatives)
    total = sum(positive) + sum(negative)
    options: dict[str, Any] = {"margin": margin, "negatives": negatives}
    found = contrastive_loss(embeddings, numbers, reduction="sum", **options)
    assert found.item() == pytest.approx(total, rel=1e-4, abs=1e-9)
    mean = contrastive_loss(embeddings, numbers, **options)
    pairs = len(positive) + len(negative)
    assert mean.item() == pytest.approx(total / max(1, pairs), rel=1e-4, abs=1e-9)
    assert contrastive(embeddings, numbers, **options).entries == pairs
    assert contrastive(embeddings, numbers, reduction="sum", **options).entries == 1


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [2, 16])
def test_with_enough_negatives_it_is_the_librarys(margin: float, size: int) -> None:
    owners = [i // 5 for i in range(60)]
    embeddings, numbers = points(owners, size=size)
    embeddings.requires_grad_()
    theirs = Theirs(margin, HardNegativePairSelector(neg_count=5))(embeddings, numbers)
    ours = contrastive_loss(embeddings, numbers, margin, 5, "sum")
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, embeddings)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_positives_are_never_negatives_where_negatives_are_scarce() -> None:
    """Two owners with three rows: three negatives a row, five are asked for."""
    owners = [0, 0, 0, 1, 1, 1]
    embeddings, numbers = points(owners, seed=3)
    # The library fills up with rows of the same owner, or with the row itself.
    selector = HardNegativePairSelector(neg_count=5)
    _, chosen = selector.get_pairs(embeddings, numbers)
    wrong = [(i, j) for i, j in chosen.tolist() if owners[i] == owners[j]]
    assert len(wrong) == 12
    theirs = Theirs(2.0, selector)(embeddings, numbers).item()
    ours = contrastive_loss(embeddings, numbers, 2.0, 5, "sum").item()
    positive, negative = by_loops(embeddings, numbers, 2.0, 5)
    assert len(negative) == 6 * 3
    assert ours == pytest.approx(sum(positive) + sum(negative))
    pushed = sum(
        max(0.0, 2.0 - float((embeddings[i] - embeddings[j]).norm())) ** 2 for i, j in wrong
    )
    assert theirs == pytest.approx(ours + pushed, rel=1e-4)


@pytest.mark.parametrize("owners", [[0], [0, 0, 0], [0, 1]])
def test_few_rows_give_finite_losses_and_gradients(owners: list[int]) -> None:
    embeddings, numbers = points(owners)
    embeddings = embeddings.clone()
    embeddings[:] = embeddings[0]
    embeddings.requires_grad_()
    for reduction in ("mean", "sum"):
        loss = contrastive_loss(embeddings, numbers, reduction=reduction)
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert loss.isfinite()
        assert gradient.isfinite().all()
    if len(owners) == 1:
        assert loss.item() == 0


def test_gradient_separates_owners_and_joins_views() -> None:
    embeddings = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0]], requires_grad=True)
    loss = contrastive_loss(embeddings, torch.tensor([0, 0, 1]))
    (gradient,) = torch.autograd.grad(loss, embeddings)
    # Descent moves the stranger away.
    assert gradient[2, 0] < 0
    assert gradient[1, 0] > gradient[0, 0]


def test_the_head_is_second_layer_norm_and_loss() -> None:
    torch.manual_seed(0)
    head = ColesHead(6, size=3, margin=1.5, negatives=2, reduction="sum")
    hidden, owners = torch.randn(8, 6), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    outputs = hidden.clamp(min=0) @ head.output.weight.T + head.output.bias
    unit = outputs / outputs.norm(dim=1, keepdim=True)
    positive, negative = by_loops(unit.detach(), owners, 1.5, 2)
    assert len(negative) == 16
    total = sum(positive) + sum(negative)
    assert head(hidden, owners, [owners.numpy()]).loss.item() == pytest.approx(total, rel=1e-4)


def test_under_autocast_distances_are_taken_in_float32() -> None:
    torch.manual_seed(0)
    head = ColesHead(6, size=3)
    hidden, owners = torch.randn(8, 6), torch.arange(4).repeat_interleave(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(hidden, owners, [owners.numpy()]).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        head(hidden, owners, [owners.numpy()]).loss.item(), rel=0.03
    )
