"""The whole model: causal, and blind to padding and neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ptls.nn.seq_encoder.rnn_encoder import RnnEncoder

from grap_seq.data.batch import OWNER
from grap_seq.data.sequences import TIME
from grap_seq.nn.build import build_model
from grap_seq.nn.pooling import POOLINGS
from grap_seq.nn.sequence_model import SequenceModel
from tests.data.toy import SCHEMA, groups_of, random_rows

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
    model(groups_of(ROWS))
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
        before, after = (model(groups_of([r]))[0].payload[0] for r in (row, moved))
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.equal(before[changed:], after[changed:])


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_an_embedding_does_not_know_its_neighbours(pooling: str) -> None:
    model = model_of(pooling=pooling)
    with torch.no_grad():
        alone = torch.cat([model.embed(groups_of([row])) for row in ROWS])
        (together,) = groups_of(ROWS, max_padding=1.0)
        batch = model.embed([together])
    assert alone.shape[1] == 12 * len(POOLINGS[pooling])
    torch.testing.assert_close(batch, alone[together.payload[OWNER]], rtol=0, atol=1e-6)


def test_states_do_not_depend_on_the_rectangles() -> None:
    model = model_of()
    with torch.no_grad():
        (one,) = model(groups_of(ROWS, max_padding=1.0))
        many = model(groups_of(ROWS, max_padding=0.0))
    assert len(many) == len(ROWS)
    for row, states in enumerate(many):
        length = int(states.seq_lens)
        torch.testing.assert_close(one.payload[row, :length], states.payload[0], rtol=0, atol=1e-6)


def test_embeddings_in_training_do_not_depend_on_the_rectangles() -> None:
    """Batch norm takes its statistics from all of them."""
    model = model_of().train()
    with torch.no_grad():
        one = model.embed(groups_of(ROWS, max_padding=1.0))
        many = model.embed(groups_of(ROWS, max_padding=0.0))
    torch.testing.assert_close(one, many, rtol=0, atol=1e-5)


def test_encoders_of_pytorch_lifestream_fit() -> None:
    model = SequenceModel(
        model_of().embedding,
        RnnEncoder(input_size=16, hidden_size=7, type="gru", is_reduce_sequence=False),
        "last",
    ).eval()
    assert model.output_size == 7
    with torch.no_grad():
        alone = torch.cat([model.embed(groups_of([row])) for row in ROWS[:3]])
        (together,) = groups_of(ROWS[:3], max_padding=1.0)
        batch = model.embed([together])
    assert alone.shape == (3, 7)
    # Longest first: rows 2, 0, 1.
    torch.testing.assert_close(batch, alone[[2, 0, 1]], rtol=0, atol=1e-6)


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling=median"):
        model_of(pooling="median")
