"""The downstream loss of labels inside sequences, against a loop over crops and labels."""

from __future__ import annotations

import math

import pytest
import torch

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.nn.encoder import Encoded
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.composite import CompositeObjective, loss_names
from grap_seq.weighting import GraP
from tests.data.toy import LOCAL_SCHEMA, local_rows, sequences
from tests.weighting.oracle import says_nothing

ROWS = local_rows([12, 7, 30, 4, 18, 5], seed=9)
CROPS = [Crop(row, start, len(r["type"]), row) for row, r in enumerate(ROWS) for start in (0, 2)]
CROPS += [Crop(row, 1, 4, row) for row in range(len(ROWS))]


def parts() -> tuple[SequenceModel, CompositeObjective]:
    torch.manual_seed(0)
    model = SequenceModel(EventEmbedding(LOCAL_SCHEMA.fields, width=10), GRUEncoder(10, hidden=8))
    weighting = GraP(loss_names(LOCAL_SCHEMA))
    return model.eval(), CompositeObjective(LOCAL_SCHEMA, weighting, 8, width=6).eval()


def test_each_label_is_predicted_by_its_own_event() -> None:
    model, objective = parts()
    found = objective(*_pair(model, CROPS))["downstream"]
    head, bank = objective.downstream, objective.bank
    assert head is not None
    last = len(objective.weighting.names)
    losses = []
    for crop in CROPS:
        states = model(collate(sequences(ROWS, LOCAL_SCHEMA), [crop])).states
        row = ROWS[crop.row]
        for label, position in zip(row["label"] or [], row["label_position"] or [], strict=True):
            if position < crop.start:
                continue
            state = states[min(position, crop.stop - 1) - crop.start]
            hidden = (bank.weight[last] @ state + bank.bias[last]).clamp(min=0)
            logits = (head.output.weight @ hidden + head.output.bias).tolist()
            losses.append(math.log(sum(map(math.exp, logits))) - logits[label])
    assert len(losses) > 15
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def _pair(model: SequenceModel, crops: list[Crop]) -> tuple[Batch, Encoded]:
    batch = collate(sequences(ROWS, LOCAL_SCHEMA), crops)
    return batch, model(batch)


def test_a_batch_without_labels_gives_the_weights_no_gradient() -> None:
    model, objective = parts()
    unlabelled = [crop for crop in CROPS if not ROWS[crop.row]["label"]]
    assert unlabelled
    losses = objective(*_pair(model, unlabelled))
    assert losses["downstream"].item() == 0
    torch.autograd.backward(objective.weighting.total(losses))
    assert says_nothing(objective.weighting)
    losses = objective(*_pair(model, CROPS))
    torch.autograd.backward(objective.weighting.total(losses))
    assert objective.weighting.weights.grad is not None
