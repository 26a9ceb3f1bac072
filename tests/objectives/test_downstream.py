"""The downstream loss against a loop over sequences and events."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.objectives.downstream import DownstreamHead
from grap_seq.objectives.means import means
from grap_seq.schema import Label

LABEL = Label("churn", "accuracy", ("no", "perhaps", "yes"))
NUMBER = Label("age", "r2", mean=40.0, std=10.0)


@pytest.mark.parametrize("labels", [[2, 0, 1, 1], [-1, 2, -1, 0], [-1, -1, 1, -1]])
def test_every_event_of_a_labelled_sequence_predicts_the_label(labels: list[int]) -> None:
    torch.manual_seed(0)
    lengths = [3, 1, 4, 2]
    head = DownstreamHead(5, LABEL)
    hidden = torch.randn(10, 5, requires_grad=True)
    targets = torch.tensor(labels).repeat_interleave(torch.tensor(lengths))
    ((loss, count),) = means(head(hidden, targets))
    losses, position, used = [], 0, []
    for label, length in zip(labels, lengths, strict=True):
        for _ in range(length):
            if label >= 0:
                events = hidden[position].detach().clamp(min=0)
                logits = (head.output.weight.detach() @ events + head.output.bias.detach()).tolist()
                losses.append(math.log(sum(map(math.exp, logits))) - logits[label])
                used.append(position)
            position += 1
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert count == len(losses)
    (gradient,) = torch.autograd.grad(loss, hidden)
    unused = [i for i in range(10) if i not in used]
    assert not gradient[unused].any()
    assert gradient[used].abs().sum(1).min() > 0


def test_a_number_costs_its_squared_error() -> None:
    torch.manual_seed(0)
    head = DownstreamHead(5, NUMBER)
    hidden = torch.randn(4, 5, requires_grad=True)
    ((loss, count),) = means(head(hidden, torch.tensor([0.5, math.nan, -3.0, math.nan])))
    weight, bias = head.output.weight.detach()[0], head.output.bias.item()
    numbers = [float(weight @ hidden[i].detach().clamp(min=0)) + bias for i in (0, 2)]
    assert loss.item() == pytest.approx(((numbers[0] - 0.5) ** 2 + (numbers[1] + 3) ** 2) / 2)
    assert count == 2
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert gradient.isfinite().all()
    assert gradient.any(1).tolist() == [True, False, True, False]


@pytest.mark.parametrize("label", [LABEL, NUMBER])
def test_a_batch_without_labels_costs_nothing(label: Label) -> None:
    head = DownstreamHead(5, label)
    hidden = torch.randn(4, 5, requires_grad=True)
    ((loss, count),) = means(head(hidden, torch.full((4,), label.missing)))
    assert count == 0
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert not gradient.any()
