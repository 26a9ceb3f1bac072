"""All4One's centroid: what a small Transformer makes of an embedding and its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def position_code(positions: int, channels: int) -> Tensor:
    """Sines and cosines, interleaved, shape (positions, channels), float64.

    sin(t 10000^(-2i/D)) in channel 2i, its cosine in 2i + 1 (Vaswani et al., 2017), with D the
    number of channels, rounded up to an even one.
    """
    even = channels + channels % 2
    frequencies = 10_000 ** (-torch.arange(0, even, 2, dtype=torch.float64) / even)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :channels]


class CentroidTransformer(nn.Module):
    """Adds a position code to tokens and gives the first of a post-norm Transformer's outputs.

    Args:
        width: P, of a token.
        tokens: N, how many there are.
        layers: number of layers.
        heads: attention heads, a divisor of P.
        feedforward: hidden width of a layer's perceptron.
        dropout: of the layers.
        swapped_axes: take tokens for channels and the P columns for positions, as the reference
            does (solo-learn's `PositionalEncodingPermute1D(5)`).

    Raises:
        ValueError: P is no multiple of `heads`.
    """

    code: Tensor  # (N, P)

    def __init__(
        self,
        width: int,
        tokens: int = 5,
        layers: int = 3,
        heads: int = 8,
        feedforward: int = 512,
        dropout: float = 0.1,
        swapped_axes: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"tokens of width {width} cannot be split among {heads} heads: give a"
                " heads.projection that is a multiple of heads.heads"
            )
        code = position_code(width, tokens).T if swapped_axes else position_code(tokens, width)
        self.register_buffer("code", code.to(torch.get_default_dtype()), persistent=False)
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True)
        # Nested tensors are for padding, which there is none of.
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Centroids (B, P) of tokens (B, N, P)."""
        output: Tensor = self.encoder(tokens + self.code)[:, 0]
        return output
