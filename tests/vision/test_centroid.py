"""Position code and centroid Transformer against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grap_seq.vision.centroid import CentroidTransformer, position_code


def code_by_loop(positions: int, channels: int) -> list[list[float]]:
    even = 2 * math.ceil(channels / 2)
    table = []
    for t in range(positions):
        row = []
        for channel in range(channels):
            angle = t / 10_000 ** (2 * (channel // 2) / even)
            row.append(math.cos(angle) if channel % 2 else math.sin(angle))
        table.append(row)
    return table


@pytest.mark.parametrize(("positions", "channels"), [(5, 256), (256, 5), (3, 4), (1, 1)])
def test_position_code(positions: int, channels: int) -> None:
    expected = torch.tensor(code_by_loop(positions, channels), dtype=torch.float64)
    torch.testing.assert_close(position_code(positions, channels), expected, rtol=0, atol=1e-12)


def test_axes_are_tokens_and_columns_unless_swapped() -> None:
    plain = torch.tensor(code_by_loop(5, 16))
    swapped = torch.tensor([list(row) for row in zip(*code_by_loop(16, 5), strict=True)])
    torch.testing.assert_close(CentroidTransformer(16).code, plain)
    torch.testing.assert_close(CentroidTransformer(16, swapped_axes=True).code, swapped)
    assert (plain - swapped).abs().max() > 0.5


def attention(layer: torch.nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    assert layer.in_proj_weight is not None
    width = tokens.shape[1] // layer.num_heads
    query, key, value = (tokens @ layer.in_proj_weight.T + layer.in_proj_bias).chunk(3, dim=1)
    parts = []
    for head in range(layer.num_heads):
        columns = slice(head * width, (head + 1) * width)
        scores = query[:, columns] @ key[:, columns].T / math.sqrt(width)
        parts.append(scores.softmax(1) @ value[:, columns])
    return torch.cat(parts, 1) @ layer.out_proj.weight.T + layer.out_proj.bias


@pytest.mark.parametrize("training", [True, False])
def test_the_first_token_of_a_post_norm_transformer(training: bool) -> None:
    torch.manual_seed(0)
    model = CentroidTransformer(8, tokens=3, heads=2, feedforward=12, dropout=0.0)
    model.train(training)
    assert len(model.encoder.layers) == 3
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
        tokens = torch.randn(4, 3, 8)
        found = model(tokens)
        for row, centroid in zip(tokens, found, strict=True):
            x = row + torch.tensor(code_by_loop(3, 8))
            for layer in model.encoder.layers:
                assert isinstance(layer, torch.nn.TransformerEncoderLayer)
                x = layer.norm1(x + attention(layer.self_attn, x))
                x = layer.norm2(x + layer.linear2(F.relu(layer.linear1(x))))
            torch.testing.assert_close(centroid, x[0], rtol=1e-4, atol=1e-5)


def test_dropout_is_on_in_training_alone() -> None:
    torch.manual_seed(0)
    model, tokens = CentroidTransformer(8, heads=2), torch.randn(4, 5, 8)
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 10 cannot be split among 8 heads"):
        CentroidTransformer(10)
