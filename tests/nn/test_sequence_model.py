"""The whole model: causal, and blind to padding and neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ptls.nn.seq_encoder.rnn_encoder import RnnEncoder

from grap_seq.nn.build import build_model
from grap_seq.nn.pooling import POOLINGS
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.schema import TIME
from tests.data.toy import SCHEMA, batch_of, random_rows

ROWS = random_rows([9, 2, 14, 1, 5, 12], seed=3)
DESCRIPTION = {
    "event_width": 16,
    "max_time_gap": 8.0,
    "table_widths": {"type": 3},
    "encoder": {"name": "gru", "class": "grap_seq.nn.gru.GRUEncoder", "hidden": 12},
    "pooling": "last_mean_max",
}


def model_of(**changes: Any) -> SequenceModel:
    """A trained-looking model: its batch norms have seen a batch."""
    torch.manual_seed(0)
    model = build_model(SCHEMA, {**DESCRIPTION, **changes})
    model(batch_of(ROWS))
    return model.eval()


@pytest.mark.parametrize("changed", [0, 1, 6, 13])
@pytest.mark.parametrize("name", [TIME, "type", "owner", "a.b", "score"])
def test_an_event_changes_nothing_before_it(changed: int, name: str) -> None:
    model = model_of()
    (row,) = random_rows([14], seed=5)
    if name == TIME:
        other = row[TIME][changed - 1] + 0.25 if changed else row[TIME][0] - 0.25
    else:
        other = 2 if row[name][changed] == 1 else 1
    moved = {**row, name: row[name].copy()}
    moved[name][changed] = other
    with torch.no_grad():
        before, after = (model(batch_of([r])).states for r in (row, moved))
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.equal(before[changed:], after[changed:])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_embedding_does_not_know_its_neighbours(pooling: str) -> None:
    model = model_of(pooling=pooling)
    with torch.no_grad():
        alone = torch.cat([model.embed(batch_of([row])) for row in ROWS])
        together = model.embed(batch_of(ROWS))
    wanted = {"last": 12, "last_mean_max": 36, "last_mean_max_inputs": 36 + 4 * 11 + 1}
    assert alone.shape[1] == model.embedding_size == wanted.get(pooling, 12)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_encoders_of_pytorch_lifestream_fit() -> None:
    model = SequenceModel(
        model_of().embedding,
        RnnEncoder(input_size=16, hidden_size=7, type="gru", is_reduce_sequence=False),
        "last",
    ).eval()
    assert model.output_size == 7
    with torch.no_grad():
        alone = torch.cat([model.embed(batch_of([row])) for row in ROWS[:3]])
        found = [model.embed(batch_of(ROWS[:3], max_padding=share)) for share in (0.0, 0.1, 1.0)]
    assert alone.shape == (3, 7)
    for together in found:
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling=median"):
        model_of(pooling="median")
