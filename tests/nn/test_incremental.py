"""New events continue a stored sequence: the numbers of a full pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grap_seq.nn.build import build_model
from grap_seq.nn.incremental import SequenceState, step
from grap_seq.nn.sequence_model import SequenceModel
from tests.data.toy import SCHEMA, batch_of, random_rows
from tests.nn.test_sequence_model import DESCRIPTION

TRANSFORMER = {"layers": 2, "heads": 2, "feedforward": 16}
ENCODERS: dict[str, dict[str, Any]] = {
    "gru": {"class": "grap_seq.nn.gru.GRUEncoder"},
    "transformer": {"class": "grap_seq.nn.transformer.TransformerEncoder", **TRANSFORMER},
    "rotary": {
        "class": "grap_seq.nn.transformer.TransformerEncoder",
        "rotary": True,
        **TRANSFORMER,
    },
    "end": {
        "class": "grap_seq.nn.transformer.TransformerEncoder",
        "end_token": True,
        **TRANSFORMER,
    },
    "ht": {"class": "grap_seq.nn.ht_transformer.HTTransformerEncoder", **TRANSFORMER},
}


def model_of(name: str, pooling: str) -> SequenceModel:
    torch.manual_seed(0)
    encoder = {"name": name, "hidden": 12, **ENCODERS[name]}
    model = build_model(SCHEMA, {**DESCRIPTION, "encoder": encoder, "pooling": pooling})
    model(batch_of(random_rows([9, 14], seed=3)))
    return model.eval()


def part(rows: list[dict[str, Any]], start: int, end: int) -> list[dict[str, Any]]:
    return [
        {key: v[start:end] if isinstance(v, np.ndarray) else v for key, v in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("name", list(ENCODERS))
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "last_mean_max_inputs"])
def test_three_blocks_are_one_pass(name: str, pooling: str) -> None:
    model = model_of(name, pooling)
    rows = random_rows([12, 12, 12], seed=5)
    state: SequenceState | None = None
    for start, end in ((0, 5), (5, 6), (6, 12)):
        batch = batch_of(part(rows, start, end))
        embedding, state = step(model, state, batch)
        with torch.no_grad():
            wanted = model.embed(batch_of(part(rows, 0, end)))
        torch.testing.assert_close(embedding, wanted, rtol=0, atol=2e-6)
    assert state is not None
    assert state.events.tolist() == [12, 12, 12]


def test_misuse() -> None:
    model = model_of("gru", "last")
    rows = random_rows([4, 4], seed=5)
    batch = batch_of(rows)
    _, state = step(model, None, batch)
    ragged = batch_of(random_rows([4, 2], seed=5))
    with pytest.raises(ValueError, match="rows of one length"):
        step(model, state, ragged)
    single = batch_of(rows[:1])
    with pytest.raises(ValueError, match="holds 2 sequences, 1 came"):
        step(model, state, single)
    with pytest.raises(ValueError, match=r"call model\.eval"):
        step(model.train(), state, batch)
