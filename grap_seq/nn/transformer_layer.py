"""One pre-norm Transformer layer; who sees whom is the caller's matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.nn.dropout import Dropout


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); GELU, dropout on every branch.

    Args:
        hidden: H, width of the tokens.
        heads: attention heads.
        feedforward: width of the hidden part.
        dropout: share of zeroed values of a branch.
    """

    def __init__(self, hidden: int, heads: int, feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.queries_keys_values = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)
        self.dropout = Dropout(dropout)
        self.feedforward = nn.Sequential(
            nn.Linear(hidden, feedforward),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(feedforward, hidden),
            Dropout(dropout),
        )

    def forward(self, tokens: Tensor, attention: Callable[[Tensor], Tensor]) -> Tensor:
        """Next layer's tokens, shape (..., H).

        Args:
            tokens: shape (..., H).
            attention: from queries, keys and values side by side (..., 3H) to attended values
                (..., H).
        """
        return self.after(tokens, attention(self.before(tokens)))

    def compile_parts(self, **options: Any) -> None:
        """Compile what comes before attention and behind it, with options of `torch.compile`."""
        self.before = torch.compile(self.before, **options)  # type: ignore[method-assign]
        self.after = torch.compile(self.after, **options)  # type: ignore[method-assign]

    def before(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values side by side, shape (..., 3H)."""
        joint: Tensor = self.queries_keys_values(self.attention_norm(tokens))
        return joint

    def after(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Next layer's tokens from tokens and attended values, shape (..., H)."""
        tokens = tokens + self.dropout(self.output(attended))
        result: Tensor = tokens + self.feedforward(self.feedforward_norm(tokens))
        return result
