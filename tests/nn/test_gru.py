"""The GRU encoder: torch's GRU on each row, causal, blind to padding."""

from __future__ import annotations

import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch

from grap_seq.nn.gru import GRUEncoder


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


def test_the_encoder_is_torchs_gru() -> None:
    torch.manual_seed(0)
    encoder = GRUEncoder(4, hidden=6)
    assert encoder.embedding_size == 6
    payload = torch.randn(3, 5, 4)
    states = encoder(PaddedBatch(payload, torch.tensor([5, 2, 1])))
    assert states.seq_lens.tolist() == [5, 2, 1]
    for row, length in enumerate(states.seq_lens.tolist()):
        wanted, _ = encoder.rnn(payload[row, :length][None])
        torch.testing.assert_close(states.payload[row, :length], wanted[0])
    assert (encoder.rnn.num_layers, encoder.rnn.bidirectional) == (1, False)
