"""GRU encoder (protocol: one layer, unidirectional, zero initial state)."""

from __future__ import annotations

from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn


class GRUEncoder(nn.Module):
    """Event vectors to hidden states, causal.

    Args:
        input_size: D, width of an event's vector.
        hidden: H, width of the hidden state.
    """

    def __init__(self, input_size: int, hidden: int = 256) -> None:
        super().__init__()
        self.embedding_size = hidden
        self.rnn = nn.GRU(input_size, hidden, batch_first=True)

    def forward(self, batch: PaddedBatch) -> PaddedBatch:
        """Payload (B, T, D) to (B, T, H); states behind a row's end are not meaningful."""
        # Right padding cannot reach earlier states, so nothing has to be packed.
        states, _ = self.rnn(batch.payload)
        return PaddedBatch(states, batch.seq_lens)

    def step(
        self, state: Tensor | None, vectors: Tensor, times: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Continue stored sequences with new events.

        Args:
            state: what the last call returned, or None at the start.
            vectors: new events, shape (B, T, D).
            times: their times; a GRU does not need them.

        Returns:
            Their states (B, T, H), what stands for the last state in an embedding (B, H), and the
            state to store, (1, B, H).
        """
        del times
        states, state = self.rnn(vectors, state)
        return states, states[:, -1], state
