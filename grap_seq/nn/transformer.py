"""Causal Transformer encoder over events at irregular times (the paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.nn.history_tokens import History
from grap_seq.nn.time_encoding import TimeEncoding
from grap_seq.nn.transformer_layer import Cache, TransformerLayer

# Shapes: B rows, T events, H width, L layers.


@dataclass(frozen=True)
class TransformerState:
    """Stored sequences of B rows, all of one length.

    Attributes:
        first: time of the first event, shape (B, 1).
        latest: time of the last event since the first, shape (B, 1).
        caches: keys and values of all tokens, by layer.
    """

    first: Tensor
    latest: Tensor
    caches: list[Cache]


class TransformerEncoder(nn.Module):
    """Event vectors and times to states, causal.

    A learned start token, at the time of the first event, comes before the events; its state is
    left out of the output. Positions are times (see `TimeEncoding`), added to the projected
    events, or turned into queries and keys with `rotary`. Pre-norm layers, no final norm.

    Args:
        input_size: D, width of an event's vector.
        hidden: H, width of the states.
        layers: number of layers.
        heads: attention heads.
        feedforward: width of the layers' hidden part.
        dropout: on the encoded input and every branch.
        attention_dropout: on attention weights, which costs memory quadratic in the tokens; no
            gain from it was found (docs/experiments.md).
        min_time_step: m of the time encoding, in the data's time unit.
        max_duration: M of the time encoding.
        rotary: rotate queries and keys by the times instead of adding their encoding.
        end_token: let a learned token behind the last event, at its time, stand for the last state
            in an embedding. It learns by losses on embeddings alone.

    Raises:
        ValueError: a width that the heads do not divide, or a dropout outside [0, 1).
    """

    needs_times = True
    end: nn.Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden: int = 256,
        *,
        layers: int = 4,
        heads: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        min_time_step: float = 0.01,
        max_duration: float = 1000.0,
        rotary: bool = False,
        end_token: bool = False,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden={hidden} heads={heads}: the heads must divide the width")
        for name, share in (("dropout", dropout), ("attention_dropout", attention_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name}={share}: a share of zeroed values lies in [0, 1)")
        self.embedding_size = hidden
        self.rotary = rotary
        self.projection = nn.Linear(input_size, hidden)
        self.start = nn.Parameter(torch.randn(hidden))
        size = hidden // heads if rotary else hidden
        self.time_encoding = TimeEncoding(size, min_time_step, max_duration)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(hidden, heads, feedforward, dropout, attention_dropout)
            for _ in range(layers)
        )
        self.register_parameter("end", None)
        if end_token:
            self.add_end_token()

    def add_end_token(self) -> nn.Parameter:
        """Give the encoder a fresh end token, shape (H,)."""
        self.end = nn.Parameter(torch.randn_like(self.start))
        return self.end

    def forward(self, batch: PaddedBatch, times: Tensor) -> PaddedBatch:
        """Payload (B, T, D) and times (B, T) to states (B, T, H).

        States behind a row's end are not meaningful: with right padding nothing before them sees
        them.
        """
        tokens, since = self.tokens(batch.payload, times)
        states = self.run(tokens, since)[-1]
        if self.end is not None:
            # It takes part all the same: no parameter is ever without gradient.
            states = states + 0 * self.end.sum()
        return PaddedBatch(states[:, 1:], batch.seq_lens)

    def summarise(self, batch: PaddedBatch, times: Tensor) -> tuple[PaddedBatch, Tensor]:
        """States, and what stands for the last one in an embedding, shape (B, H).

        That is the last state itself, or the output of a token behind it.
        """
        # The start token shifts events by one: a row's last event stands at its length.
        rows, last = torch.arange(len(times), device=times.device), batch.seq_lens
        tokens, since = self.tokens(batch.payload, times)
        if self.end is not None:
            tokens = torch.cat([tokens, tokens[:, :1]], dim=1)
            since = torch.cat([since, since[:, :1]], dim=1)
            tokens[rows, last + 1] = self.end.to(tokens.dtype)
            since[rows, last + 1] = since[rows, last]
            last = last + 1
        outputs = self.run(tokens, since)
        states = PaddedBatch(outputs[-1][:, 1 : 1 + times.shape[1]], batch.seq_lens)
        return states, self._embedding([output[rows, last] for output in outputs])

    def step(
        self, state: TransformerState | None, vectors: Tensor, times: Tensor
    ) -> tuple[Tensor, Tensor, TransformerState]:
        """Continue stored sequences with new events; earlier ones are read from a cache.

        Args:
            state: what the last call returned, or None at the start.
            vectors: new events, shape (B, T, D).
            times: their times, shape (B, T).

        Returns:
            Their states (B, T, H), what stands for the last state in an embedding (B, H), and the
            state to store.
        """
        if state is None:
            tokens, since = self.tokens(vectors, times)
            past: list[Cache] | None = None
            first = times[:, :1]
        else:
            first, past = state.first, state.caches
            tokens, since = self.projection(vectors), times - first
        outputs, caches = self._layers(tokens, since, None, past)
        states = outputs[-1][:, -vectors.shape[1] :]
        new = TransformerState(first, since[:, -1:], caches)
        return states, self._last(outputs, new), new

    def _last(self, outputs: list[Tensor], state: TransformerState) -> Tensor:
        """What stands for the last state after a step, shape (B, H); its token is not stored."""
        if self.end is not None:
            token = self.end.to(outputs[-1].dtype).expand(len(outputs[-1]), 1, -1)
            outputs, _ = self._layers(token, state.latest, None, state.caches)
        return self._embedding([output[:, -1] for output in outputs])

    def _embedding(self, outputs: list[Tensor]) -> Tensor:
        """From the outputs of every layer for one token, L times (B, H)."""
        return outputs[-1]

    def tokens(self, vectors: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """The start token and the projected events, (B, T + 1, H), and their times since the first.

        Args:
            vectors: events, shape (B, T, D).
            times: their times, shape (B, T).
        """
        start = self.start.to(vectors.dtype).expand(len(vectors), 1, -1)
        since = times - times[:, :1]
        since = torch.cat([torch.zeros_like(since[:, :1]), since], dim=1)
        return torch.cat([start, self.projection(vectors)], dim=1), since

    def run(self, tokens: Tensor, since: Tensor, history: History | None = None) -> list[Tensor]:
        """Outputs of every layer, L times (B, T', H), for tokens (B, T', H) at times (B, T').

        Args:
            tokens: start token and events.
            since: times since the first event.
            history: who sees whom; None: every token sees the past.
        """
        return self._layers(tokens, since, history, None)[0]

    def _layers(
        self, tokens: Tensor, since: Tensor, history: History | None, past: list[Cache] | None
    ) -> tuple[list[Tensor], list[Cache]]:
        """Outputs of every layer, and the keys and values of all tokens so far."""
        angles = None
        if self.rotary:
            angles = self.time_encoding.angles(since)
        else:
            tokens = tokens + self.time_encoding(since).to(tokens.dtype)
        tokens = self.dropout(tokens)
        outputs, caches = [], []
        for place, layer in enumerate(self.layers):
            tokens, cache = layer(tokens, history, angles, None if past is None else past[place])
            outputs.append(tokens)
            caches.append(cache)
        return outputs, caches
