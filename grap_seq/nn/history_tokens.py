"""Where history tokens stand and who sees them (HT-Transformer, Karpukhin & Savchenko 2025).

A history token stands right after an event and sees all real events before it. Later events may
look at one history token instead of everything before it, so what it holds has to summarise the
past:

    tokens     e0  e1  H1  e2  e3  H2  e4
    e4, random choice H1:  sees H1 and the real events after it (e2, e3, e4)
    e4, choice H2:         sees H2 and e4
    e4, no choice:         sees e0 .. e4
    H2:                    sees e0 e1 e2 e3 and itself, never another history token
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from grap_seq.block import Movable

Placement: TypeAlias = Literal[
    "uniform", "bias_end", "bias_end_relaxed", "full", "last", "fixed", "none"
]
Selection: TypeAlias = Literal["random", "last", "none"]


@dataclass(frozen=True)
class History(Movable):
    """T real tokens and R history tokens in one row of T + R.

    Attributes:
        source: which real token a token copies its time from, shape (T + R,); a history token
            follows the real token that it copies.
        special: which tokens are history tokens, shape (T + R,), bool.
        chosen: position of the history token that a real token sees, -1 for none, shape (T + R,).
    """

    source: Tensor
    special: Tensor
    chosen: Tensor

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether the token at position `query` sees the one at `key`, elementwise, bool."""
        real, chosen = ~self.special[key], self.chosen[query]
        by_history = (query == key) | (real & (key < query))
        by_event = (key == chosen) | (real & (key <= query) & (key > chosen))
        return torch.where(self.special[query], by_history, by_event)

    @cached_property
    def mask(self) -> Tensor:
        """Who sees whom, shape (T + R, T + R), bool; made once for all layers."""
        tokens = torch.arange(len(self.source), device=self.source.device)
        return self.sees(tokens[:, None], tokens[None, :])

    def blocks(self, tokens: int) -> BlockMask:
        """Who sees whom among the first tokens of a row, for FlexAttention.

        It asks `sees` and skips blocks of unseen keys.
        """
        if tokens in self._blocks:
            return self._blocks[tokens]

        # Copies as long as the row: one program for all, not one for each of two lengths.
        first = self.mapped(lambda part: part[:tokens].clone())

        def rule(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return first.sees(query, key)

        # Compiled, it holds no tokens^2 numbers on the way.
        create: Any = create_block_mask
        if self.source.is_cuda:
            create = torch.compile(create_block_mask, dynamic=True)
        device = self.source.device
        self._blocks[tokens] = create(rule, None, None, tokens, tokens, device=device)
        return self._blocks[tokens]

    @cached_property
    def _blocks(self) -> dict[int, BlockMask]:
        return {}

    def mapped(self, change: Callable[[Tensor], Tensor]) -> History:
        return History(*map(change, (self.source, self.special, self.chosen)))


def draw_positions(lengths: Tensor, frequency: float, placement: Placement) -> Tensor:
    """Real tokens after which a history token stands, sorted, shape (R,), R = max(1, f Lmax).

    Args:
        lengths: real tokens of every row, shape (B,).
        frequency: f, history tokens per token of the longest row.
        placement: "uniform" over the longest row, "bias_end" over its second half,
            "bias_end_relaxed" from half of the mean length on.
    """
    longest = int(lengths.max())
    starts = {
        "uniform": 0,
        "bias_end": longest // 2,
        "bias_end_relaxed": int(lengths.double().mean() / 2),
    }
    start = min(starts[placement], longest - 1)
    count = min(max(1, round(frequency * longest)), longest - start)
    drawn = torch.randperm(longest - start)[:count] + start
    return drawn.sort().values


def insert(after: Tensor, tokens: int, selection: Selection) -> History:
    """The row of tokens with history tokens in it.

    Args:
        after: real tokens after which one stands, sorted, shape (R,).
        tokens: T, number of real tokens.
        selection: which of the n history tokens before it an event sees: "random" the
            round(U(0, n))-th (none where that is 0), "last" the n-th, "none" none.
    """
    real = torch.arange(tokens)
    # A real token goes before the history token that follows it.
    order = torch.cat([2 * real, 2 * after + 1]).argsort()
    source = torch.cat([real, after])[order]
    special = order >= tokens
    before = special.cumsum(0)  # history tokens up to a position; for a real token: before it
    share = torch.ones(tokens + len(after))
    if selection == "random":
        share = torch.rand(tokens + len(after))
    number = (share * before).round().long()
    if selection == "none":
        number = torch.zeros_like(number)
    positions = torch.cat([torch.full((1,), -1), special.nonzero().flatten()])
    chosen = torch.where(special, -1, positions[number])
    return History(source, special, chosen)
