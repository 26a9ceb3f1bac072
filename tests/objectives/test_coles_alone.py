"""CoLES without a head against the contrastive loss on normalised states."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from grap_seq.data.collate import Crop, collate
from grap_seq.nn.encoder import Encoded
from grap_seq.objectives.coles import ContrastiveLoss
from grap_seq.objectives.coles_alone import ColesAlone
from grap_seq.weighting import Equal
from tests.data.toy import (
    LOCAL_SCHEMA,
    SCHEMA,
    UNLABELLED_SCHEMA,
    local_rows,
    random_rows,
    sequences,
)
from tests.weighting.oracle import backward

ROWS = random_rows([12, 7, 30], seed=4)
CROPS = [Crop(row, start, start + 5, row) for row in range(3) for start in (0, 1, 2)]


def test_the_loss_is_that_of_normalised_last_states_without_a_parameter() -> None:
    torch.manual_seed(0)
    batch = collate(sequences(ROWS), CROPS)
    objective = ColesAlone(SCHEMA, Equal(["coles"]), 8, width=6, margin=1.2, reduction="sum")
    states = torch.randn(batch.events, 8, requires_grad=True)
    losses = objective(batch, Encoded(states, batch.layout.ends))
    assert set(losses) == {"coles", "downstream"}
    backward(objective.weighting.total(losses))
    plain = states.detach().clone().requires_grad_()
    unit = F.normalize(plain[batch.layout.ends], dim=1)
    wanted, count = ContrastiveLoss(1.2, 5, "sum")(unit, batch.owners, batch.view_owners)
    backward(wanted)
    torch.testing.assert_close(losses["coles"], wanted)
    assert objective.counts["coles"] == count
    assert states.grad is not None
    assert plain.grad is not None
    # The downstream head learns, and its gradient stays away from the states.
    torch.testing.assert_close(states.grad, plain.grad)
    assert objective.hidden is not None
    assert objective.hidden.weight.grad is not None
    assert objective.hidden.weight.grad.abs().sum() > 0


def test_without_labels_and_with_labels_inside_rows() -> None:
    batch = collate(sequences(ROWS, UNLABELLED_SCHEMA), CROPS)
    objective = ColesAlone(UNLABELLED_SCHEMA, Equal(["coles"]), 8)
    assert set(objective(batch, Encoded(torch.randn(45, 8), batch.layout.ends))) == {"coles"}
    rows = local_rows([12, 7, 30], seed=9)
    batch = collate(sequences(rows, LOCAL_SCHEMA), CROPS)
    objective = ColesAlone(LOCAL_SCHEMA, Equal(["coles"]), 8)
    losses = objective(batch, Encoded(torch.randn(45, 8), batch.layout.ends))
    assert losses["downstream"].isfinite()
    assert batch.label_events is not None
    assert objective.counts["downstream"] == len(batch.label_events)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="coles_reduction=median"):
        ColesAlone(SCHEMA, Equal(["coles"]), 8, reduction="median")  # type: ignore[arg-type]
