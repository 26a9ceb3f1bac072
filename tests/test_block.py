"""Tensors of any kind in one block, there and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from grap_seq.block import ALIGNMENT, joined, split

KINDS: dict[str, Tensor] = {
    "bytes": torch.arange(5, dtype=torch.uint8),
    "truth": torch.tensor([True, False, True]),
    "none": torch.zeros(0, 3),
    "number": torch.tensor(2.5, dtype=torch.float64),
    "missing": torch.tensor([[1.0, torch.nan], [-torch.inf, 0.0]]),
    "whole": torch.arange(-3, 4),
    "transposed": torch.arange(6.0).view(2, 3).T,
    "part": torch.arange(10)[3:7],
    "half": torch.ones(3, dtype=torch.bfloat16),
    "nothing behind": torch.zeros(0, dtype=torch.int64),
}


def test_all_come_back() -> None:
    tensors = list(KINDS.values())
    block = joined(tensors)
    assert block.dtype == torch.uint8
    found = list(split(block, tensors))
    for got, wanted in zip(found, tensors, strict=True):
        assert got.dtype == wanted.dtype
        torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)
        assert got.untyped_storage().data_ptr() == block.data_ptr()
        assert got.storage_offset() * got.itemsize % ALIGNMENT == 0


def test_what_is_one_block_already_is_not_copied() -> None:
    tensors = list(KINDS.values())
    block = joined(tensors)
    parts = list(split(block, tensors))
    assert joined(parts).data_ptr() == block.data_ptr()
    # Others of the same memory are.
    for others in (parts[::-1], parts[:-3], [*parts[:-1], torch.zeros(1)]):
        again = joined(others)
        assert again.data_ptr() != block.data_ptr()
        for got, wanted in zip(split(again, others), others, strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", list(KINDS))
def test_one_alone(name: str) -> None:
    (found,) = split(joined([KINDS[name]]), [KINDS[name]])
    torch.testing.assert_close(found, KINDS[name], rtol=0, atol=0, equal_nan=True)
