"""Two processes for the tests of what is computed in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import start_processes

# For modules that call `in_two_processes`: one process of `make test` runs them all, so that the
# server that its processes come from imports PyTorch once.
together = pytest.mark.xdist_group("processes")
multiprocessing.set_forkserver_preload(["grap_seq.objectives.composite"])


def in_two_processes(compute: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `compute(rank, *arguments)` returns in each of two processes that gloo connects."""
    start_processes(  # type: ignore[no-untyped-call]  # torch declares it without types.
        _worker, (compute, folder, *arguments), nprocs=2, start_method="forkserver"
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _worker(rank: int, compute: Callable[..., Any], folder: Path, *arguments: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    torch.save(compute(rank, *arguments), folder / f"{rank}.pt")
    distributed.destroy_process_group()
