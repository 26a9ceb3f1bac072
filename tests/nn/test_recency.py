"""How long ago the last event was: every encoder's embedding says it, and no state does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from grap_seq.nn.build import build_model
from grap_seq.nn.incremental import step
from grap_seq.nn.recency import RECENCY, recency
from grap_seq.nn.sequence_model import SequenceModel
from tests.data.toy import SCHEMA, UNTIL_SCHEMA, batch_of, random_rows, with_until
from tests.nn.test_incremental import ENCODERS, part
from tests.nn.test_sequence_model import DESCRIPTION

PTLS: dict[str, Any] = {
    "class": "ptls.nn.seq_encoder.rnn_encoder.RnnEncoder",
    "hidden_size": 12,
    "type": "gru",
    "is_reduce_sequence": False,
}
OURS = {name: {"hidden": 12, **options} for name, options in ENCODERS.items()}
ROWS = with_until(random_rows([9, 2, 14, 1, 5], seed=3))
TYPICAL = 2.5


def model_of(encoder: dict[str, Any], recency: float | None = TYPICAL) -> SequenceModel:
    torch.manual_seed(0)
    description = {**DESCRIPTION, "encoder": encoder, "recency": recency}
    model = build_model(SCHEMA, description)
    model(batch_of(ROWS, schema=UNTIL_SCHEMA))
    return model.eval()


def expected(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """From the rows' own times, in plain Python."""
    found = []
    for row in rows:
        times = row["event_time"].tolist()
        gaps = [later - earlier for earlier, later in pairwise(times)]
        own = (sum(gaps) + TYPICAL) / (len(gaps) + 1)
        final = row["until"] - times[-1]
        found.append([np.log1p(final / TYPICAL), np.log1p(final / own)])
    return np.array(found)


@pytest.mark.parametrize("encoder", [*OURS.values(), PTLS], ids=[*OURS, "ptls"])
def test_every_embedding_ends_with_it(encoder: dict[str, Any]) -> None:
    model, batch = model_of(encoder), batch_of(ROWS, schema=UNTIL_SCHEMA)
    with torch.no_grad():
        found = model.embed(batch)
        without = model_of(encoder, None).embed(batch)
    assert found.shape == (len(ROWS), model.embedding_size)
    assert torch.equal(found[:, :-RECENCY], without)
    np.testing.assert_allclose(found[:, -RECENCY:], expected(ROWS), rtol=1e-5)


def test_one_event_and_no_time_at_all_are_finite() -> None:
    first = torch.tensor([15000.0, 15000.0], dtype=torch.float64)
    until = torch.tensor([15000.0, 15365.0], dtype=torch.float64)
    found = recency(first, first, torch.tensor([1, 7]), until, 0.5)
    wanted = [[0.0, 0.0], [np.log1p(365 / 0.5), np.log1p(365 / (0.5 / 7))]]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_stored_sequences_go_on() -> None:
    model = model_of(OURS["gru"])
    rows = random_rows([12, 12, 12], seed=5)
    state = None
    for start, end in ((0, 5), (5, 6), (6, 12)):
        batch = batch_of(with_until(part(rows, start, end), end), schema=UNTIL_SCHEMA)
        embedding, state = step(model, state, batch)
        whole = batch_of(with_until(part(rows, 0, end), end), schema=UNTIL_SCHEMA)
        with torch.no_grad():
            wanted = model.embed(whole)
        torch.testing.assert_close(embedding, wanted, rtol=0, atol=2e-6)


def test_a_batch_has_to_say_when_it_ends() -> None:
    model = model_of(OURS["gru"])
    with pytest.raises(ValueError, match="prepare the data with `until`"):
        model.embed(batch_of(ROWS))
