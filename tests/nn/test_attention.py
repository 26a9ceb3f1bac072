"""Every way of attention against weights written out in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from grap_seq.layout import Layout
from grap_seq.nn import attention
from grap_seq.nn.attention import FLEX_TOKENS, CachedAttention, RowAttention, attend
from grap_seq.nn.history_tokens import History, draw_positions, insert

SHAPE = (2, 3, 300, 8)


def random_parts(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    return query, key, value


def history_of(tokens: int) -> History:
    torch.manual_seed(1)
    return insert(draw_positions(torch.tensor([tokens]), 0.1, "uniform"), tokens, "random")


def written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    weights = torch.where(mask, scores, -torch.inf).softmax(-1)
    return weights @ value


def test_causal() -> None:
    query, key, value = random_parts()
    mask = torch.ones(300, 300, dtype=torch.bool).tril()
    wanted = written_out(query, key, value, mask)
    torch.testing.assert_close(attend(query, key, value), wanted)


def side_by_side(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, A, T, D) each to (B, T, 3 A D)."""
    return torch.cat([part.transpose(1, 2).flatten(2) for part in (query, key, value)], dim=2)


def test_new_tokens_see_the_earlier_ones() -> None:
    query, key, value = random_parts()
    mask = torch.ones(300, 300, dtype=torch.bool).tril()
    wanted = written_out(query, key, value, mask).transpose(1, 2).flatten(2)
    joint = side_by_side(query, key, value)
    first = CachedAttention(heads=3, past=None)
    torch.testing.assert_close(first(joint[:, :200]), wanted[:, :200])
    further = CachedAttention(heads=3, past=first.cache)
    torch.testing.assert_close(further(joint[:, 200:]), wanted[:, 200:])
    assert further.cache is not None
    assert torch.equal(further.cache[1], value)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("with_history", [True, False])
def test_rows_of_a_flat_list_attend_to_themselves(share: float, with_history: bool) -> None:
    sizes = [70, 12, 1, 55, 69]
    layout = Layout(sizes, share)
    torch.manual_seed(0)
    joint = torch.randn(sum(sizes), 3 * 6, dtype=torch.float64)
    history = insert(torch.tensor([3, 20, 41]), 67, "random") if with_history else None
    found = RowAttention(layout, heads=2, history=history)(joint)
    mask = torch.ones(70, 70, dtype=torch.bool).tril() if history is None else history.mask
    for size, row, attended in zip(
        sizes, torch.split(joint, sizes), torch.split(found, sizes), strict=True
    ):
        query, key, value = row.view(size, 3, 2, 3).permute(1, 2, 0, 3)[:, None]
        wanted = written_out(query, key, value, mask[:size, :size])
        torch.testing.assert_close(attended, wanted[0].transpose(0, 1).flatten(1))


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
    found = flex_attention(query, key, value, block_mask=history.blocks(len(history.source)))
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, written_out(query, key, value, history.mask))


def test_few_programs_for_rows_of_all_lengths() -> None:
    """A GPU compiles FlexAttention in tens of seconds, and gives up after eight programs."""
    torch.compiler.reset()
    programs = CompileCounter()
    flex = torch.compile(flex_attention, dynamic=True, backend=programs)
    for tokens, rows in ((60, 5), (70, 3), (81, 1), (95, 4), (64, 5), (90, 1), (77, 3)):
        history = history_of(tokens)
        whole = len(history.source)
        for size in (whole, whole - 7):
            query, key, value = torch.randn(3, rows, 2, size, 16)
            with torch.no_grad():
                found = flex(query, key, value, block_mask=history.blocks(size))
            mask = history.mask[:size, :size]
            torch.testing.assert_close(
                found.double(), written_out(query, key, value, mask).double()
            )
    # For one row, and for several.
    assert programs.frame_count == 2


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


@pytest.mark.parametrize("step", [False, True])
def test_a_gpu_is_spared_plans_for_every_shape(monkeypatch: pytest.MonkeyPatch, step: bool) -> None:
    """On an H100 cuDNN takes 136 ms for a new shape, and batches bring new ones all the time."""
    seen: list[tuple[bool, bool]] = []
    attended = functional.scaled_dot_product_attention
    backends: Any = torch.backends.cuda

    def allowed() -> tuple[bool, bool]:
        return backends.cudnn_sdp_enabled(), backends.flash_sdp_enabled()

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        seen.append(allowed())
        return attended(*args, **kwargs)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    joint = torch.randn(2, 5, 3 * 16).as_subclass(OnGPU)
    if step:
        CachedAttention(2, None)(joint)
    else:
        query, key, value = joint.view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind()
        attend(query, key, value)
    assert seen == [(False, True)]
    assert allowed() == (True, True)


def test_dropout_of_attention_weights() -> None:
    """Ones as values: a row is the share of weights that are left, times 1 / (1 - p)."""
    query, key, _ = random_parts()
    ones = torch.ones_like(query)
    torch.manual_seed(0)
    found = attend(query, key, ones, dropout=0.25)
    assert found[:, :, 50:].mean().item() == pytest.approx(1, abs=0.02)
    assert found.std() > 0.05
    assert torch.equal(attend(query, key, ones).round(decimals=12), ones)
