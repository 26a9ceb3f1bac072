"""Flat, packed and padded: the same events, against loops and PyTorch's own packing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from grap_seq.layout import Layout, take

sizes_of_rows = st.lists(st.integers(1, 40), min_size=1, max_size=25)
paddings = st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0])


def rows_of(sizes: list[int], width: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(len(sizes))
    return [torch.randn(size, width, generator=generator) for size in sizes]


def test_the_picture_of_the_docstring() -> None:
    layout = Layout([3, 1, 2], max_padding=0.2)
    flat = torch.tensor([10, 11, 12, 20, 30, 31])
    assert layout.pack(flat).tolist() == [10, 30, 20, 11, 31, 12]
    assert layout.packing.sizes == (3, 2, 1)
    assert layout.packing.rows.tolist() == [0, 2, 1]
    assert [part.tolist() for part in layout.pad(flat)] == [[[10, 11, 12], [30, 31, 0]], [[20]]]
    assert layout.rectangles.rows.tolist() == [0, 2, 1]
    assert layout.padding == pytest.approx(1 / 7)
    assert layout.starts.tolist() == [0, 3, 4]
    assert layout.ends.tolist() == [2, 3, 5]
    assert layout.row.tolist() == [0, 0, 0, 1, 2, 2]
    assert layout.position.tolist() == [0, 1, 2, 0, 0, 1]


@given(sizes_of_rows)
def test_packing_is_pytorchs(sizes: list[int]) -> None:
    rows, layout = rows_of(sizes), Layout(sizes)
    order = layout.packing.rows.tolist()
    assert order == sorted(range(len(sizes)), key=lambda row: -sizes[row])
    wanted = pack_sequence([rows[row] for row in order])
    assert torch.equal(layout.pack(torch.cat(rows)), wanted.data)
    assert list(layout.packing.sizes) == wanted.batch_sizes.tolist()
    assert torch.equal(layout.unpack(wanted.data), torch.cat(rows))


@given(sizes_of_rows, paddings)
def test_rectangles_hold_every_row_and_little_padding(sizes: list[int], share: float) -> None:
    rows, layout = rows_of(sizes), Layout(sizes, share)
    parts = layout.pad(torch.cat(rows))
    order = layout.rectangles.rows.tolist()
    assert sorted(order) == list(range(len(sizes)))
    for part, (count, longest) in zip(parts, layout.rectangles.shapes, strict=True):
        members, order = order[:count], order[count:]
        wanted = pad_sequence([rows[row] for row in members], batch_first=True)
        assert torch.equal(part, wanted)
        events = sum(sizes[row] for row in members)
        assert longest == max(sizes[row] for row in members)
        assert 1 - events / (count * longest) <= share + 1e-12
    assert torch.equal(layout.flatten(parts), torch.cat(rows))
    if share == 1:
        assert len(parts) == 1
    cells = sum(part.shape[0] * part.shape[1] for part in parts)
    assert layout.padding == pytest.approx(1 - sum(sizes) / cells)


@given(sizes_of_rows, paddings)
def test_padded_batches_are_those_of_pytorch_lifestream(sizes: list[int], share: float) -> None:
    rows, layout = rows_of(sizes), Layout(sizes, share)
    numbers = torch.arange(sum(sizes))
    seen = []
    for values, positions in layout.by_rectangle(torch.cat(rows), numbers):
        assert values.seq_lens.tolist() == positions.seq_lens.tolist()
        assert values.seq_len_mask.sum(1).tolist() == values.seq_lens.tolist()
        for row, place, length in zip(
            values.payload, positions.payload, values.seq_lens.tolist(), strict=True
        ):
            assert torch.equal(row[:length], torch.cat(rows)[place[:length]])
            assert not row[length:].any()
            seen += place[:length].tolist()
    assert sorted(seen) == numbers.tolist()


def test_a_handful_of_lengths() -> None:
    layout = Layout([9, 10, 2, 9, 8, 5, 5], max_padding=0.1)
    # 10, 9, 9 and 8 fill 36 of 40 cells: just one tenth of padding.
    assert layout.rectangles.shapes == ((4, 10), (2, 5), (1, 2))
    assert layout.rectangles.rows.tolist() == [1, 0, 3, 4, 5, 6, 2]
    assert layout.padding == pytest.approx(4 / 52)
    assert Layout([9, 10, 2, 9, 8, 5, 5], 1.0).padding == pytest.approx(22 / 70)


def test_gradients_pass_both_ways() -> None:
    layout = Layout([4, 1, 3], max_padding=1.0)
    values = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, 2, dtype=torch.float64)

    def padded(flat: torch.Tensor) -> torch.Tensor:
        (part,) = layout.pad(flat)
        return layout.flatten([part * weight])

    assert torch.autograd.gradcheck(padded, values)
    assert torch.autograd.gradcheck(layout.pack, values)
    assert torch.autograd.gradcheck(layout.unpack, values)
    assert torch.autograd.gradcheck(lambda v: take(v, torch.tensor([5, 0, 7])), values)


def test_a_layout_travels_to_workers_and_devices() -> None:
    layout = Layout([4, 1, 3]).prepare()
    copied = pickle.loads(pickle.dumps(layout))
    moved = layout.to("meta")
    assert torch.equal(copied.packing.order, layout.packing.order)
    assert copied.rectangles.shapes == moved.rectangles.shapes == layout.rectangles.shapes
    for tensor in (moved.row, moved.packing.inverse, moved.rectangles.cells, moved.lengths):
        assert tensor.device.type == "meta"
    assert layout.row.device.type == "cpu"
    np.testing.assert_array_equal(moved.sizes, [4, 1, 3])
    assert (moved.events, len(moved)) == (8, 3)


def test_no_rows() -> None:
    layout = Layout([])
    assert (layout.events, len(layout)) == (0, 0)
    assert layout.packing.sizes == ()
    assert layout.rectangles.shapes == ()
