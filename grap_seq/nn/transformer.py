"""Causal Transformer encoder over events at irregular times (the paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.layout import Layout, take
from grap_seq.nn.attention import Cache, CachedAttention, RowAttention
from grap_seq.nn.dropout import Dropout
from grap_seq.nn.encoder import Encoded, Encoder
from grap_seq.nn.history_tokens import History
from grap_seq.nn.time_encoding import TimeEncoding
from grap_seq.nn.tokens import Tokens
from grap_seq.nn.transformer_layer import TransformerLayer

# Shapes: R rows, N events, P tokens, H width, L layers; B rows of T new events each.


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


class TransformerEncoder(Encoder):
    """Event vectors and times to states, causal.

    A learned start token, at the time of the first event, comes before the events; its state is
    left out of the output. Positions are times (see `TimeEncoding`), added to the projected
    events, or turned into queries and keys with `rotary`. Pre-norm layers, no final norm. Tokens
    are one flat list: rows are padded, and by little, for the attention alone.

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
        self.embedding_size, self.heads = hidden, heads
        self.rotary, self.attention_dropout = rotary, attention_dropout
        self.projection = nn.Linear(input_size, hidden)
        self.start = nn.Parameter(torch.randn(hidden))
        size = hidden // heads if rotary else hidden
        self.time_encoding = TimeEncoding(size, min_time_step, max_duration)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(hidden, heads, feedforward, dropout) for _ in range(layers)
        )
        self.register_parameter("end", None)
        if end_token:
            self.add_end_token()

    def add_end_token(self) -> nn.Parameter:
        """Give the encoder a fresh end token, shape (H,)."""
        self.end = nn.Parameter(torch.randn_like(self.start))
        return self.end

    def compile_parts(self, **options: Any) -> None:
        # Attention sees other rectangles in every batch.
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)
            layer.compile_parts(**options)

    def encode(self, vectors: Tensor, layout: Layout, times: Tensor) -> Encoded:
        tokens = Tokens.plain(layout)
        states = take(self.run(vectors, times, tokens)[-1], tokens.events)
        if self.end is not None:
            # It takes part all the same: no parameter is ever without gradient.
            states = states + 0 * self.end.sum()
        return Encoded(states, layout.ends)

    def summarise(self, vectors: Tensor, layout: Layout, times: Tensor) -> tuple[Tensor, Tensor]:
        """States (N, H), and what stands for each row's last one in an embedding, (R, H).

        That is the last state itself, or the output of a token behind it.
        """
        tokens = Tokens.plain(layout) if self.end is None else Tokens.with_end(layout)
        outputs = self.run(vectors, times, tokens)
        last = self.summary([output[tokens.layout.ends] for output in outputs])
        return take(outputs[-1], tokens.events), last

    def run(
        self, vectors: Tensor, times: Tensor, tokens: Tokens, history: History | None = None
    ) -> list[Tensor]:
        """Outputs of every layer for all tokens, L times (P, H).

        Args:
            vectors: event vectors, shape (N, D).
            times: their times, shape (N,).
            tokens: where they stand.
            history: who sees whom; None: every token sees the past.
        """
        # A start token has the time of its row's first event.
        moments = times[tokens.source]
        since = moments - moments[tokens.layout.starts][tokens.layout.row]
        events = self.projection(vectors).to(self.start.dtype)
        states = tokens.assemble(events, self.start, self.end)
        angles = self.time_encoding.angles(since) if self.rotary else None
        dropout = self.attention_dropout if self.training else 0.0
        attention = RowAttention(tokens.layout, self.heads, angles, history, dropout)
        states, outputs = self.enter(states, since), []
        for layer in self.layers:
            states = layer(states, attention)
            outputs.append(states)
        return outputs

    def enter(self, tokens: Tensor, since: Tensor) -> Tensor:
        """What the first layer sees of tokens (..., H) at times (...) since the first event."""
        if not self.rotary:
            tokens = tokens + self.time_encoding(since).to(tokens.dtype)
        entered: Tensor = self.dropout(tokens)
        return entered

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
        tokens = self.projection(vectors)
        first = times[:, :1] if state is None else state.first
        since = times - first
        past: list[Cache | None] = [None] * len(self.layers)
        if state is None:
            start = self.start.to(tokens.dtype).expand(len(tokens), 1, -1)
            tokens = torch.cat([start, tokens], dim=1)
            since = torch.cat([torch.zeros_like(first), since], dim=1)
        else:
            past = list(state.caches)
        outputs, caches = self._continue(tokens, since, past)
        new = TransformerState(first, since[:, -1:], caches)
        states = outputs[-1][:, -vectors.shape[1] :]
        if self.end is not None:
            # The end token's keys and values are not stored.
            token = self.end.to(states.dtype).expand(len(states), 1, -1)
            outputs, _ = self._continue(token, new.latest, list(caches))
        return states, self.summary([output[:, -1] for output in outputs]), new

    def _continue(
        self, tokens: Tensor, since: Tensor, past: list[Cache | None]
    ) -> tuple[list[Tensor], list[Cache]]:
        """Outputs of every layer for new tokens, L times (B, T, H), and all keys and values."""
        angles = self.time_encoding.angles(since) if self.rotary else None
        tokens, outputs, caches = self.enter(tokens, since), [], []
        for layer, earlier in zip(self.layers, past, strict=True):
            attention = CachedAttention(self.heads, earlier, angles)
            tokens = layer(tokens, attention)
            outputs.append(tokens)
            assert attention.cache is not None
            caches.append(attention.cache)
        return outputs, caches

    def summary(self, outputs: list[Tensor]) -> Tensor:
        """From the outputs of every layer for one token, L times (B, H)."""
        return outputs[-1]
