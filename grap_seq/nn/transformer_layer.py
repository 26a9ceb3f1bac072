"""One pre-norm Transformer layer whose attention can continue from cached keys and values."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.nn.attention import attend, attend_further
from grap_seq.nn.history_tokens import History
from grap_seq.nn.time_encoding import rotate

# Shapes: B rows, T tokens, H width, A attention heads, D = H / A.
Cache: TypeAlias = tuple[Tensor, Tensor]  # keys and values of earlier tokens, (B, A, S, D) each


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); GELU, dropout on every branch.

    Args:
        hidden: H, width of the tokens.
        heads: A.
        feedforward: width of the hidden part.
        dropout: share of zeroed values of a branch.
        attention_dropout: share of zeroed attention weights.
    """

    def __init__(
        self,
        hidden: int,
        heads: int,
        feedforward: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.attention_dropout = heads, dropout, attention_dropout
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.queries_keys_values = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)
        self.feedforward = nn.Sequential(
            nn.Linear(hidden, feedforward),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward, hidden),
            nn.Dropout(dropout),
        )

    def forward(
        self,
        x_BTH: Tensor,
        history: History | None = None,
        angles: Tensor | None = None,
        past: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Next layer's tokens (B, T, H), and the keys and values of all tokens so far.

        Args:
            x_BTH: tokens.
            history: who sees whom among them; None: every token sees the past.
            angles: rotary angles (B, T, D/2) of the tokens' times, or None.
            past: keys and values of earlier tokens, all of which every token sees.
        """
        attended, cache = self._attend(self.attention_norm(x_BTH), history, angles, past)
        x_BTH = x_BTH + F.dropout(self.output(attended), self.dropout, self.training)
        return x_BTH + self.feedforward(self.feedforward_norm(x_BTH)), cache

    def _attend(
        self, x_BTH: Tensor, history: History | None, angles: Tensor | None, past: Cache | None
    ) -> tuple[Tensor, Cache]:
        shape = (*x_BTH.shape[:2], 3, self.heads, -1)
        # Three times (B, A, T, D).
        query, key, value = self.queries_keys_values(x_BTH).view(shape).permute(2, 0, 3, 1, 4)
        if angles is not None:
            query, key = rotate(query, angles[:, None]), rotate(key, angles[:, None])
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
            attended = attend_further(query, key, value)
        else:
            dropout = self.attention_dropout if self.training else 0.0
            attended = attend(query, key, value, history, dropout)
        return attended.transpose(1, 2).flatten(2), (key, value)
