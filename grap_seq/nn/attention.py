"""Attention of every token on those that it may see.

Plain causal attention takes memory linear in the number of tokens T on every device. With history
tokens the rule of `History.sees` takes its place: on a GPU inside FlexAttention, again linear in T;
elsewhere, and for few tokens, as one mask of T^2 truth values for all rows, heads and layers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention

from grap_seq.nn.history_tokens import History

# From so many tokens on FlexAttention is worth its compilation; below, a mask is smaller than one
# row's tokens.
FLEX_TOKENS = 512
# Shapes: B rows, A heads, T tokens, S of them earlier ones, D width of a head.


def attend(
    query: Tensor, key: Tensor, value: Tensor, history: History | None = None, dropout: float = 0.0
) -> Tensor:
    """Attended values, shape (B, A, T, D).

    Args:
        query: shape (B, A, T, D).
        key: shape (B, A, T, D).
        value: shape (B, A, T, D).
        history: who sees whom; None: every token sees itself and those before it.
        dropout: share of zeroed attention weights. PyTorch's linear kernels (FlexAttention, and
            flash attention on a CPU) have none: with it, all T^2 weights are held in memory.
    """
    if history is None:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
    if query.is_cuda and not dropout and query.shape[2] >= FLEX_TOKENS:
        attended: Tensor = _compiled()(query, key, value, block_mask=history.blocks)
        return attended
    mask = history.mask
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


def attend_further(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attended values of new tokens, shape (B, A, T, D), which also see all S earlier ones.

    Args:
        query: of the new tokens, shape (B, A, T, D).
        key: of earlier and new tokens, shape (B, A, S + T, D).
        value: of earlier and new tokens, shape (B, A, S + T, D).
    """
    new, tokens = query.shape[2], key.shape[2]
    mask = torch.ones(new, tokens, dtype=torch.bool, device=key.device).tril(tokens - new)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


@cache
def _compiled() -> Any:
    # Batches differ in shape: one program for all of them.
    return torch.compile(flex_attention, dynamic=True)
