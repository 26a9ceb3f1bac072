"""Processes for tests, forked from a server that has imported PyTorch and Lightning once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import start_processes

from grap_seq import cli

# For what starts processes here: one process of `make test` runs it all, so that there is one
# server.
together = pytest.mark.xdist_group("processes")
SERVER: Final = "forkserver"
multiprocessing.set_forkserver_preload(
    ["grap_seq.training.pretrain", "grap_seq.experiments.runs", "lightgbm", "hydra"]
)


def in_two_processes(compute: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `compute(rank, *arguments)` returns in each of two processes that gloo connects."""
    start_processes(  # type: ignore[no-untyped-call]  # torch declares it without types.
        _worker, (compute, folder, *arguments), nprocs=2, start_method=SERVER
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _worker(rank: int, compute: Callable[..., Any], folder: Path, *arguments: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    torch.save(compute(rank, *arguments), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def process(function: Callable[..., Any], *arguments: Any) -> ForkServerProcess:
    """A function in a process of its own, with the environment of this one."""
    started = multiprocessing.get_context(SERVER).Process(
        target=_called, args=(dict(os.environ), function, *arguments)
    )
    started.start()
    return started


def _called(environment: dict[str, str], function: Callable[..., Any], *arguments: Any) -> None:
    os.environ.update(environment)
    function(*arguments)


def command(words: Sequence[str], said: Path) -> ForkServerProcess:
    """`grap-seq` with these words in a process of its own.

    Args:
        words: command and settings.
        said: file for what it writes to both streams.
    """
    return process(_command, tuple(words), said)


def _command(words: Sequence[str], said: Path) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = ["grap-seq", *words]
    cli.main()


def forked_ranks(function: Callable[..., Any], args: Sequence[Any] = (), **options: Any) -> Any:
    """`torch.multiprocessing.start_processes`, with the server for where they come from."""
    return start_processes(  # type: ignore[no-untyped-call]  # as above.
        _rank, (function, *args), **(options | {"start_method": SERVER})
    )


def _rank(rank: int, function: Callable[..., Any], *arguments: Any) -> None:
    # The server is the parent, not the process that asked.
    with mock.patch("grap_seq.training.processes.die_with_parent"):
        function(rank, *arguments)
