"""The whole model: causal, and blind to padding and neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch
from ptls.nn.seq_encoder.rnn_encoder import RnnEncoder

from grap_seq.data.batch import OWNER
from grap_seq.data.sequences import TIME
from grap_seq.nn.build import build, build_model
from grap_seq.nn.event_embedding import EventEmbedding
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.pooling import POOLINGS
from grap_seq.nn.positions import unflatten
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.weighting import Fixed
from tests.data.toy import SCHEMA, random_rows
from tests.nn.test_positions import groups_of

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


@pytest.mark.parametrize("changed", [0, 4, 9])
def test_the_encoder_is_causal_in_float64(changed: int) -> None:
    torch.manual_seed(0)
    encoder = GRUEncoder(4, hidden=6).double()
    payload = torch.randn(2, 10, 4, dtype=torch.float64)
    moved = payload.clone()
    moved[:, changed] += 1e-6
    lengths = torch.tensor([10, 10])
    before, after = (encoder(PaddedBatch(p, lengths)).payload for p in (payload, moved))
    assert torch.equal(before[:, :changed], after[:, :changed])
    # Every later state remembers, if only a little.
    assert (before[:, changed:] != after[:, changed:]).any(-1).all()


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_an_embedding_does_not_know_its_neighbours(pooling: str) -> None:
    model = model_of(pooling=pooling)
    with torch.no_grad():
        alone = torch.cat([model.embed(groups_of([row])[0]) for row in ROWS])
        (together,) = groups_of(ROWS, max_padding=1.0)
        batch = model.embed(together)
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


def test_the_encoder_is_torchs_gru() -> None:
    torch.manual_seed(0)
    encoder = GRUEncoder(4, hidden=6)
    assert encoder.embedding_size == 6
    (group,) = build_vectors([3, 5], 4)
    states = encoder(group)
    for row, length in enumerate(group.seq_lens.tolist()):
        wanted, _ = encoder.rnn(group.payload[row, :length][None])
        torch.testing.assert_close(states.payload[row, :length], wanted[0])
    assert (encoder.rnn.num_layers, encoder.rnn.bidirectional) == (1, False)


def build_vectors(lengths: list[int], width: int) -> list[Any]:
    groups = groups_of(random_rows(lengths), max_padding=1.0)
    return unflatten(torch.randn(sum(lengths), width), groups)


def test_encoders_of_pytorch_lifestream_fit() -> None:
    model = SequenceModel(
        model_of().embedding,
        RnnEncoder(input_size=16, hidden_size=7, type="gru", is_reduce_sequence=False),
        "last",
    ).eval()
    assert model.output_size == 7
    with torch.no_grad():
        alone = torch.cat([model.embed(groups_of([row])[0]) for row in ROWS[:3]])
        (together,) = groups_of(ROWS[:3], max_padding=1.0)
        batch = model.embed(together)
    assert alone.shape == (3, 7)
    # Longest first: rows 2, 0, 1.
    torch.testing.assert_close(batch, alone[[2, 0, 1]], rtol=0, atol=1e-6)


def test_build_passes_the_options_on() -> None:
    model = model_of()
    assert isinstance(model.encoder, GRUEncoder)
    assert model.encoder.rnn.hidden_size == 12
    assert isinstance(model.embedding, EventEmbedding)
    assert model.embedding.tables[0].weight.shape == (7, 3)
    assert model.pooling == "last_mean_max"
    fixed = {"name": "fixed", "class": "grap_seq.weighting.Fixed", "weights": {"a": 2.0}, "lr": 0.1}
    weighting = build(fixed, ["a"], without=("lr",))
    assert isinstance(weighting, Fixed)
    assert weighting.named_weights() == {"a": 2.0}


@pytest.mark.parametrize(
    "path", ["grap_seq.nn.gru.LSTMEncoder", "no_such_package.Encoder", "Encoder", ""]
)
def test_build_names_a_class_that_it_cannot_find(path: str) -> None:
    with pytest.raises(ValueError, match=f"class: '{path}' cannot be imported"):
        build({"class": path}, 16)


@pytest.mark.parametrize("options", [{"layers": 2}, {"hidden": "many"}])
def test_build_names_an_option_that_the_class_does_not_take(options: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=rf"GRUEncoder does not fit the options.*{next(iter(options))}"
    ):
        build({"class": "grap_seq.nn.gru.GRUEncoder", **options}, 16)


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling='median'"):
        model_of(pooling="median").embed(groups_of(ROWS[:1])[0])
