"""What every test of the weightings begins with, whatever ran before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_random_numbers_and_threads() -> Iterator[None]:
    """Seeded random numbers, one thread and float32; all three are given back afterwards."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
