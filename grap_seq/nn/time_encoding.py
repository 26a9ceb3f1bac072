"""Positions in time: angular frequencies of the time since the first event, no index positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TimeEncoding(nn.Module):
    """Sines and cosines of a time at D/2 frequencies, interleaved.

    f_k = (1 / m) (5 M / m)^(-2k / D): wavelengths from 2 pi m to about 10 pi M.

    Args:
        size: D, even.
        min_time_step: m, the shortest time that should be told apart, in the data's time unit.
        max_duration: M, the longest time that should be told apart.

    Raises:
        ValueError: an odd size, or not 0 < m < M.
    """

    frequencies: Tensor  # (D / 2,) float64
    turn: Tensor  # () float64

    def __init__(self, size: int, min_time_step: float, max_duration: float) -> None:
        super().__init__()
        if size % 2:
            raise ValueError(f"a time encoding has an even number of columns, not {size}")
        if not 0 < min_time_step < max_duration:
            raise ValueError(
                f"min_time_step={min_time_step} max_duration={max_duration}: give times with"
                " 0 < min_time_step < max_duration"
            )
        shares = torch.arange(0, size, 2, dtype=torch.float64) / size
        ratio = 5 * max_duration / min_time_step
        frequencies = ratio**-shares / min_time_step
        self.register_buffer("frequencies", frequencies, persistent=False)
        # A tensor: as a number it would be float32 in an exported model.
        turn = torch.tensor(2 * torch.pi, dtype=torch.float64)
        self.register_buffer("turn", turn, persistent=False)

    def angles(self, times: Tensor) -> Tensor:
        """Angles (..., D/2) of times (...) since the first event, float32.

        The product is taken in float64: a long time at the highest frequency is many turns.
        """
        turns: Tensor = (times.double()[..., None] * self.frequencies.double()) % self.turn.double()
        return turns.float()

    def forward(self, times: Tensor) -> Tensor:
        """Encodings (..., D) of times (...)."""
        angles = self.angles(times)
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    """Turn pairs of columns (..., D) by angles (..., D/2): rotary encoding of queries and keys."""
    even, odd = vectors[..., 0::2], vectors[..., 1::2]
    sine, cosine = angles.sin().to(vectors.dtype), angles.cos().to(vectors.dtype)
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
    return turned.flatten(-2)
