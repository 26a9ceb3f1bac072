"""GRU encoder (protocol: one layer, unidirectional, zero initial state)."""

from __future__ import annotations

from torch import Tensor, nn

from grap_seq.layout import Layout
from grap_seq.nn.encoder import Encoded, Encoder
from grap_seq.nn.packed_gru import packed_gru


class GRUEncoder(Encoder):
    """Event vectors to hidden states, without padding.

    Args:
        input_size: D, width of an event's vector.
        hidden: H, width of the hidden state.
    """

    reads_rectangles = False

    def __init__(self, input_size: int, hidden: int = 256) -> None:
        super().__init__()
        self.embedding_size = hidden
        # Its parameters; how they are applied is the matter of `packed_gru`.
        self.rnn = nn.GRU(input_size, hidden, batch_first=True)

    def encode(self, vectors: Tensor, layout: Layout, times: Tensor) -> Encoded:
        del times
        packed = packed_gru(layout.pack(vectors), layout.packing.sizes, self.rnn)
        return Encoded(layout.unpack(packed), layout.ends)

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
        rows, steps, _ = vectors.shape
        # All rows are equally long: packed is time-major.
        packed = packed_gru(vectors.transpose(0, 1).flatten(0, 1), (rows,) * steps, self.rnn, state)
        states = packed.view(steps, rows, -1).transpose(0, 1)
        return states, states[:, -1], states[None, :, -1]
