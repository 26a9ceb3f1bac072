"""Attention of every token on those of its row that it may see.

Tokens are one flat list; rows of similar lengths are put side by side for the attention alone.
Plain causal attention takes memory linear in the number of a row's tokens T on every device. With
history tokens the rule of `History.sees` takes its place: on a GPU inside FlexAttention, again
linear in T; elsewhere, and for few tokens, as one mask of T^2 truth values for all rows, heads and
layers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import flex_attention

from grap_seq.layout import Layout
from grap_seq.nn.history_tokens import History
from grap_seq.nn.time_encoding import rotate

# From so many tokens on FlexAttention is worth its compilation; below, a mask is smaller than one
# row's tokens.
FLEX_TOKENS = 512
# Without cuDNN's, which PyTorch prefers on an H100: it plans for every new shape, forwards and
# backwards in 136 ms where the others take 1 ms, and rows have other shapes in every batch.
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# Shapes: N tokens of all rows, B rows of a rectangle, A heads, T tokens, S earlier ones, D width of
# a head, H = A D.
Cache: TypeAlias = tuple[Tensor, Tensor]  # keys and values of earlier tokens, (B, A, S, D) each


class RowAttention:
    """Attention inside the rows of a layout.

    Args:
        layout: the rows of tokens.
        heads: A.
        angles: rotary angles of the tokens' times, shape (N, D / 2); None: none.
        history: who sees whom; None: every token sees itself and those before it.
        dropout: share of zeroed attention weights.
    """

    def __init__(
        self,
        layout: Layout,
        heads: int,
        angles: Tensor | None = None,
        history: History | None = None,
        dropout: float = 0.0,
    ) -> None:
        self.layout, self.heads, self.angles = layout, heads, angles
        self.history, self.dropout = history, dropout

    def __call__(self, joint: Tensor) -> Tensor:
        """Attended values (N, H) of queries, keys and values side by side, (N, 3H)."""
        if self.angles is not None:
            joint = _rotated(joint, self.heads, self.angles)
        parts = []
        for cells in self.layout.pad(joint):
            query, key, value = _split(cells, self.heads)
            attended = attend(query, key, value, self.history, self.dropout)
            parts.append(attended.transpose(1, 2).flatten(2))
        return self.layout.flatten(parts)


class CachedAttention:
    """Attention of new tokens, rows of one length, that also see earlier ones.

    Args:
        heads: A.
        past: keys and values of the earlier tokens.
        angles: rotary angles of the new tokens' times, shape (B, T, D / 2); None: none.
        mask: what each new token sees, shape (B, T, S + T) bool; None: itself and those before it.

    Attributes:
        cache: keys and values of all tokens, after a call.
    """

    def __init__(
        self,
        heads: int,
        past: Cache | None,
        angles: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self.heads, self.cache, self.angles, self.mask = heads, past, angles, mask

    def __call__(self, joint: Tensor) -> Tensor:
        """Attended values (B, T, H) of queries, keys and values side by side, (B, T, 3H)."""
        if self.angles is not None:
            joint = _rotated(joint, self.heads, self.angles)
        query, key, value = _split(joint, self.heads)
        if self.cache is not None:
            key = torch.cat([self.cache[0], key], dim=2)
            value = torch.cat([self.cache[1], value], dim=2)
        self.cache = key, value
        if self.mask is None:
            new, tokens = query.shape[2], key.shape[2]
            mask = torch.ones(new, tokens, dtype=torch.bool, device=key.device).tril(tokens - new)
        else:
            mask = self.mask[:, None]
        with _kernels(query):
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, history: History | None = None, dropout: float = 0.0
) -> Tensor:
    """Attended values, shape (B, A, T, D).

    Args:
        query: shape (B, A, T, D).
        key: shape (B, A, T, D).
        value: shape (B, A, T, D).
        history: who sees whom among the first T tokens of a row; None: every token sees itself and
            those before it.
        dropout: share of zeroed attention weights. PyTorch's linear kernels (FlexAttention, and
            flash attention on a CPU) have none: with it, all T^2 weights are held in memory.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # On a CPU the backward pass takes several times as long in bfloat16.
        with torch.autocast("cpu", enabled=False):
            exact = attend(query.float(), key.float(), value.float(), history, dropout)
        return exact.to(query.dtype)
    tokens = query.shape[2]
    if history is not None and query.is_cuda and not dropout and tokens >= FLEX_TOKENS:
        attended: Tensor = _compiled()(query, key, value, block_mask=history.blocks(tokens))
        return attended
    mask = None if history is None else history.mask[:tokens, :tokens]
    with _kernels(query):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, dropout_p=dropout
        )


def _kernels(query: Tensor) -> AbstractContextManager[None]:
    return sdpa_kernel(KERNELS) if query.is_cuda else nullcontext()


def _split(joint: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, 3H) to queries, keys and values, (B, A, T, D) each."""
    query, key, value = joint.view(*joint.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    return query, key, value


def _rotated(joint: Tensor, heads: int, angles: Tensor) -> Tensor:
    """Queries and keys of (..., 3H) turned by angles (..., D / 2)."""
    parts = joint.view(*joint.shape[:-1], 3, heads, -1)
    turned = rotate(parts[..., :2, :, :], angles[..., None, None, :])
    return torch.cat([turned, parts[..., 2:, :, :]], dim=-3).flatten(-3)


@cache
def _compiled() -> Any:
    # Batches differ in shape: one program for all of them.
    return torch.compile(flex_attention, dynamic=True)
