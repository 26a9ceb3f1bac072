"""Next-event losses against loops over sequences and events."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.objectives.means import Mean, means
from grap_seq.objectives.next_event import (
    CategoryHead,
    NumberHead,
    TimeBins,
    TimeHead,
    absolute_error,
)
from grap_seq.objectives.targets import draw
from grap_seq.schema import TIME, Field
from tests.data.toy import SCHEMA, Row, batch_of, random_rows

WIDTH = 5
FIELDS = {field.name: field for field in SCHEMA.fields}
LENGTHS = [[6, 1, 3, 9, 2, 4], [2], [1, 7], [30, 29, 28]]


def linear(layer: nn.Linear, hidden: Tensor) -> Tensor:
    """The second layer on one event's pre-activations."""
    return layer.weight.detach() @ hidden.detach().clamp(min=0) + layer.bias.detach()


def pairs(rows: Sequence[Row], hidden: Tensor) -> Iterator[tuple[Row, int, Tensor]]:
    """(row, number of the next event, pre-activations of the event before it)."""
    position = 0
    for row in rows:
        for event in range(len(row[TIME])):
            if event + 1 < len(row[TIME]):
                yield row, event + 1, hidden[position]
            position += 1


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def loss_of(head: nn.Module, hidden: Tensor, batch: Batch) -> Mean:
    """A head's loss of the next event."""
    (found,) = means(head(hidden, batch, draw(batch, ["next"])["next"]))
    return found


def check(head: nn.Module, lengths: Sequence[int], one: Callable[..., float | None]) -> None:
    """A head's loss is the mean of `one(row, next, hidden)` over pairs with a target."""
    rows = random_rows(lengths, seed=2)
    hidden = torch.randn(sum(lengths), WIDTH)
    wanted = [v for v in (one(*pair) for pair in pairs(rows, hidden)) if v is not None]
    loss, count = loss_of(head, hidden, batch_of(rows))
    assert loss.shape == count.shape == ()
    assert loss.item() == pytest.approx(mean(wanted), rel=1e-5)
    assert count.item() == len(wanted)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", ["type", "owner"])
def test_categories_have_a_cross_entropy(lengths: list[int], name: str) -> None:
    torch.manual_seed(0)
    head = CategoryHead(FIELDS[name], WIDTH)
    assert head.output.out_features == FIELDS[name].size

    def one(row: Row, event: int, hidden: Tensor) -> float:
        logits = linear(head.output, hidden).double().tolist()
        normaliser = math.log(sum(math.exp(logit) for logit in logits))
        return normaliser - float(logits[row[name][event]])

    check(head, lengths, one)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_numbers_have_an_absolute_error_where_they_are_known(lengths: list[int]) -> None:
    torch.manual_seed(0)
    head = NumberHead(FIELDS["score"], WIDTH)

    def one(row: Row, event: int, hidden: Tensor) -> float | None:
        target = float(row["score"][event])
        error = abs(linear(head.output, hidden).item() - target)
        return None if math.isnan(target) else error

    check(head, lengths, one)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_conditional_number_knows_the_category_of_the_next_event(lengths: list[int]) -> None:
    torch.manual_seed(0)
    head = NumberHead(FIELDS["a.b"], WIDTH, condition_size=7)
    assert head.condition is not None
    table = head.condition.weight.detach()

    def one(row: Row, event: int, hidden: Tensor) -> float | None:
        target = float(row["a.b"][event])
        told = hidden + table[row["type"][event]]
        return None if math.isnan(target) else abs(linear(head.output, told).item() - target)

    check(head, lengths, one)


def test_without_a_condition_the_category_is_not_told() -> None:
    head = NumberHead(FIELDS["a.b"], WIDTH)
    assert head.condition is None
    assert [name for name, _ in head.named_parameters()] == ["output.weight", "output.bias"]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("max_gap", "scale"), [(2.0, 1.0), (1000.0, 40.0)])
def test_time_gaps_are_clipped_and_scaled(lengths: list[int], max_gap: float, scale: float) -> None:
    torch.manual_seed(0)
    head = TimeHead(WIDTH, max_gap=max_gap, jitter=1.0, scale=scale).eval()

    def one(row: Row, event: int, hidden: Tensor) -> float:
        gap = min(max(row[TIME][event] - row[TIME][event - 1], 0.0), max_gap)
        return abs(linear(head.output, hidden).item() - float(gap) / scale)

    check(head, lengths, one)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_time_gaps_have_bins(lengths: list[int]) -> None:
    torch.manual_seed(0)
    edges = [0.0, 0.5, 3.0]
    head = TimeBins(WIDTH, edges)

    def one(row: Row, event: int, hidden: Tensor) -> float:
        gap = np.float32(row[TIME][event] - row[TIME][event - 1])
        logits = linear(head.output, hidden).double().tolist()
        assert len(logits) == 4
        # An edge belongs to the bin below it.
        chosen = sum(bool(gap > edge) for edge in edges)
        return math.log(sum(math.exp(logit) for logit in logits)) - float(logits[chosen])

    check(head, lengths, one)


def jittered(gaps: Sequence[float], jitter: float, training: bool) -> list[float]:
    """Targets that the head trains on: its loss with a prediction of zero, one pair a batch."""
    (row,) = random_rows([2])
    head = TimeHead(WIDTH, max_gap=8.0, jitter=jitter).train(training)
    nn.init.zeros_(head.output.weight)
    nn.init.zeros_(head.output.bias)
    targets = []
    for gap in gaps:
        row[TIME] = np.array([100.0, 100.0 + gap])
        targets.append(loss_of(head, torch.zeros(2, WIDTH), batch_of([row])).loss.item())
    return targets


def test_time_targets_are_jittered_in_training_alone() -> None:
    torch.manual_seed(0)
    assert jittered([3.0, 3.0, 20.0], 1.0, training=False) == [3.0, 3.0, 8.0]
    assert jittered([3.0, 3.0, 20.0], 0.0, training=True) == [3.0, 3.0, 8.0]
    targets = jittered([3.0] * 300, 1.0, training=True)
    assert min(targets) >= 2.5
    assert max(targets) <= 3.5
    # Uniform: mean 3, deviation sqrt(1/12).
    assert np.mean(targets) == pytest.approx(3, abs=0.06)
    assert np.std(targets) == pytest.approx(math.sqrt(1 / 12), rel=0.12)
    # Around zero the noise is mirrored, around the clip it is not.
    assert min(jittered([0.0] * 100, 1.0, training=True)) >= 0
    assert max(jittered([0.0] * 100, 1.0, training=True)) <= 0.5
    assert max(jittered([20.0] * 100, 1.0, training=True)) > 8


def test_the_last_event_of_a_sequence_has_no_target() -> None:
    batch = batch_of(random_rows([3, 1, 2]))
    assert batch.has_next.tolist() == [True, True, False, False, True, False]
    heads = [
        CategoryHead(FIELDS["type"], WIDTH),
        NumberHead(FIELDS["a.b"], WIDTH, 7),
        NumberHead(FIELDS["score"], WIDTH),
        TimeHead(WIDTH, 8.0, 1.0),
    ]
    for head in heads:
        hidden = torch.randn(6, WIDTH, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss_of(head, hidden, batch).loss, hidden)
        assert not gradient[[2, 3, 5]].any()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1]])
def test_sequences_of_one_event_cost_nothing(lengths: list[int]) -> None:
    batch: Batch = batch_of(random_rows(lengths))
    heads = [
        CategoryHead(FIELDS["owner"], WIDTH),
        NumberHead(FIELDS["score"], WIDTH),
        TimeHead(WIDTH, 8.0, 1.0),
    ]
    for head in heads:
        hidden = torch.randn(len(lengths), WIDTH, requires_grad=True)
        loss = loss_of(head, hidden, batch).loss
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, hidden)
        assert not gradient.any()


def test_numbers_that_are_all_missing_cost_nothing() -> None:
    (row,) = random_rows([4])
    row["score"] = np.full(4, np.nan, np.float32)
    hidden = torch.randn(4, WIDTH, requires_grad=True)
    head = NumberHead(Field("score", "numerical"), WIDTH)
    loss = loss_of(head, hidden, batch_of([row])).loss
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert not gradient.any()


def test_absolute_error_by_hand() -> None:
    prediction = torch.tensor([1.0, 2.0, 3.0, 4.0])
    target = torch.tensor([0.0, 5.0, float("nan"), 4.5])
    valid = torch.tensor([True, True, False, False])
    total, count = absolute_error(prediction, target, valid)
    assert total.item() == pytest.approx(4.0)
    assert count.item() == 2
