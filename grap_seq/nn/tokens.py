"""Tokens of a Transformer: a start token, the events, and special tokens among or behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grap_seq.block import Movable
from grap_seq.layout import Layout
from grap_seq.nn.history_tokens import History

# Shapes: R rows, N events, S special tokens, P = R + N + S tokens.


@dataclass(frozen=True)
class Tokens(Movable):
    """Where everything stands in the flat list of tokens.

    Attributes:
        layout: the rows of tokens.
        events: token of every event, shape (N,).
        special: tokens that are special, shape (S,).
        special_row: their rows, shape (S,).
        source: event whose time a token has, shape (P,); a start token has the first one's.
        ends: each row's last token, among the N events and then the S special ones, shape (R,).
    """

    layout: Layout
    events: Tensor
    special: Tensor
    special_row: Tensor
    source: Tensor
    ends: Tensor

    @classmethod
    def plain(cls, rows: Layout) -> Tokens:
        """The start token, then the events."""
        pattern = np.arange(1 + rows.sizes.max(initial=0))
        return cls._of(rows, rows.sizes + 1, pattern, np.zeros(len(pattern), bool))

    @classmethod
    def with_end(cls, rows: Layout) -> Tokens:
        """A special token behind the last event of every row, at its time."""
        return cls._of(rows, rows.sizes + 2, None, None)

    @classmethod
    def with_history(cls, rows: Layout, history: History) -> Tokens:
        """Special tokens at the same positions in all rows, as far as a row goes."""
        special = history.special.numpy()
        after = history.source.numpy()[special]
        # Of the start token and n events, with the special tokens that follow one of them.
        sizes = rows.sizes + 1 + np.searchsorted(after, rows.sizes, side="right")
        return cls._of(rows, sizes, history.source.numpy(), special)

    @classmethod
    def _of(
        cls,
        rows: Layout,
        sizes: NDArray[np.int64],
        pattern: NDArray[np.int64] | None,
        pattern_special: NDArray[np.bool_] | None,
    ) -> Tokens:
        """Rows that begin as one pattern: of 0 for the start token, i for the i-th event.

        Without a pattern a row is the start token, its events and one special token.
        """
        layout = Layout(sizes, rows.max_padding)
        row = np.repeat(np.arange(len(sizes)), sizes)
        position = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        if pattern is None or pattern_special is None:
            special = position == rows.sizes[row] + 1
            number = position - special
        else:
            special, number = pattern_special[position], pattern[position]
        first = np.cumsum(rows.sizes) - rows.sizes
        source = first[row] + np.maximum(number - 1, 0)
        last = np.cumsum(sizes) - 1
        behind = rows.events + np.cumsum(special)[last] - 1
        ends = np.where(special[last], behind, first + rows.sizes - 1)
        events, specials = np.flatnonzero(~special & (position > 0)), np.flatnonzero(special)

        if rows.device.type != "cpu":
            # Attention wants them, and they go with the rest.
            _ = layout.rectangles
        numbers = (events, specials, row[specials], source, ends)
        return cls(layout, *map(torch.from_numpy, numbers)).sent(rows.device)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Tokens:
        tensors = self.events, self.special, self.special_row, self.source, self.ends
        return Tokens(self.layout.mapped(change), *map(change, tensors))

    def assemble(self, events: Tensor, start: Tensor, special: Tensor | None) -> Tensor:
        """Tokens (P, H) from projected events (N, H), the start and the special vector (H,)."""
        tokens = events.new_zeros(len(self.source), events.shape[1])
        tokens = tokens.index_copy(0, self.events, events)
        starts = self.layout.starts
        tokens = tokens.index_copy(0, starts, start.to(events.dtype).expand(len(starts), -1))
        if special is None or not len(self.special):
            return tokens
        vectors = special.to(events.dtype).expand(len(self.special), -1)
        return tokens.index_copy(0, self.special, vectors)
