"""Every way of attention against weights written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from grap_seq.nn import attention
from grap_seq.nn.attention import FLEX_TOKENS, attend, attend_further
from grap_seq.nn.history_tokens import History, insert, place

SHAPE = (2, 3, 300, 8)


def random_parts(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    return query, key, value


def history_of(tokens: int) -> History:
    torch.manual_seed(1)
    return insert(place(torch.tensor([tokens]), 0.1, "uniform"), tokens, "random")


def written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    weights = torch.where(mask, scores, -torch.inf).softmax(-1)
    return weights @ value


def test_causal() -> None:
    query, key, value = random_parts()
    mask = torch.ones(300, 300, dtype=torch.bool).tril()
    wanted = written_out(query, key, value, mask)
    torch.testing.assert_close(attend(query, key, value), wanted)
    further = attend_further(query[:, :, 200:], key, value)
    torch.testing.assert_close(further, wanted[:, :, 200:])


def test_history_tokens_by_a_mask() -> None:
    history = history_of(270)
    query, key, value = (part[:, :, : len(history.source)] for part in random_parts())
    wanted = written_out(query, key, value, history.mask)
    torch.testing.assert_close(attend(query, key, value, history), wanted)


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
def test_history_tokens_in_flex_attention() -> None:
    """What a GPU computes: more than one block, and the last one not full."""
    history = history_of(270)
    query, key, value = (part[:, :, : len(history.source)] for part in random_parts())
    found = flex_attention(query, key, value, block_mask=history.blocks)
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, written_out(query, key, value, history.mask))


class OnGPU(torch.Tensor):
    """Says that it lies on a GPU."""

    is_cuda = True


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
def test_a_gpu_uses_flex_attention_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def flex(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask) -> Tensor:
        seen.append(query.shape[2])
        query, key, value = (part.as_subclass(Tensor) for part in (query, key, value))
        found = flex_attention(query, key, value, block_mask=block_mask)
        assert isinstance(found, Tensor)
        return found

    monkeypatch.setattr(attention, "_compiled", lambda: flex)
    for tokens in (100, FLEX_TOKENS):
        history = history_of(tokens)
        size = len(history.source)
        query, key, value = torch.randn(3, 1, 2, size, 8, dtype=torch.float64)
        wanted = written_out(query, key, value, history.mask)
        query, key, value = (part.as_subclass(OnGPU) for part in (query, key, value))
        found = attend(query, key, value, history).as_subclass(Tensor)
        torch.testing.assert_close(found, wanted)
        attend(query, key, value, history, dropout=0.1)
        attend(query, key, value)
    assert seen == [size]


def test_dropout_of_attention_weights() -> None:
    """Ones as values: a row is the share of weights that are left, times 1 / (1 - p)."""
    query, key, _ = random_parts()
    ones = torch.ones_like(query)
    torch.manual_seed(0)
    found = attend(query, key, ones, dropout=0.25)
    assert found[:, :, 50:].mean().item() == pytest.approx(1, abs=0.02)
    assert found.std() > 0.05
    assert torch.equal(attend(query, key, ones).round(decimals=12), ones)
