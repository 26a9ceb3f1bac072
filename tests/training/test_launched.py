"""Processes that torchrun or SLURM starts: one run of all of them, or one error of all of them."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed as dist
from torch._C._distributed_c10d import TCPStore

from grap_seq import cli, commands
from grap_seq import config as configs
from grap_seq.orphans import die_with_parent
from grap_seq.training import launched
from grap_seq.training.checkpoint_files import name_of
from grap_seq.training.trainer import check_trainer
from tests.shop import TIMES
from tests.training.saved import last, saved

# Random numbers of the time jitter and of earlier and later targets depend on the process.
SAME = [*TIMES, "dataset.time_jitter=0", "objective.targets=[next]", "select=loss"]
SMALL = ["dataset.hidden=8", "event_width=8", "epochs=20", "log_every=1", "trainer.threads=1"]
SMALL += ["lr=1e-3"]
ON_CPUS = ["trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.workers=0"]
STEPS, WAIT = 20, 180.0
HERE = re.escape(socket.gethostname())


def arguments(shop: Path, run: Path, *extra: str) -> list[str]:
    return ["dataset=table", f"prepared={shop}", f"run={run}", *SMALL, *SAME, *extra]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def torchrun(node: int, port: int, folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """One of two machines with a process each, all of which are this one."""
    meeting = ["--nnodes=2", "--nproc-per-node=1", f"--node-rank={node}"]
    meeting += ["--master-addr=127.0.0.1", f"--master-port={port}"]
    command = [sys.executable, "-m", "torch.distributed.run", *meeting, "-m", "grap_seq"]
    with (folder / f"node{node}").open("wb") as file:
        return subprocess.Popen(
            [*command, "pretrain", *words],
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"},
            preexec_fn=die_with_parent,
            stdout=file,
            stderr=file,
        )


@pytest.mark.slow
def test_two_machines_go_on_with_a_run_are_killed_and_one_ends_it(
    shop: Path, tmp_path: Path
) -> None:
    """All that is left is what one process with the whole batch leaves."""
    one, run, port = tmp_path / "one", tmp_path / "run", free_port()
    commands.pretrain(arguments(shop, run, "batch_size=16", "trainer.max_steps=3"))
    # Rank 1 knows the run folder by a name under which there is nothing.
    folders = run, tmp_path / "elsewhere"
    halves = ["batch_size=8", "trainer=ddp", "trainer.nodes=2", *ON_CPUS]
    halves += ["resume=true", "checkpoint_every=1"]
    nodes = [
        torchrun(node, port, tmp_path, arguments(shop, folders[node], *halves)) for node in (0, 1)
    ]
    texts = [tmp_path / f"node{node}" for node in (0, 1)]
    try:
        end = time.monotonic() + WAIT
        while saved(run)[-1].name < name_of(10).rpartition("/")[2]:
            assert time.monotonic() < end, [text.read_text() for text in texts]
            assert all(node.poll() is None for node in nodes), [t.read_text() for t in texts]
            time.sleep(0.01)
        (victim,) = psutil.Process(nodes[1].pid).children()
        os.kill(victim.pid, signal.SIGKILL)
        assert [node.wait(WAIT) for node in nodes] == [1, 1]
    finally:
        for node in nodes:
            node.kill()
    host = re.escape(socket.gethostname())
    assert re.search(
        rf"grap-seq.*: rank 1 on {host} has failed: it was killed", texts[0].read_text()
    )
    assert "goes on from step 3" in texts[0].read_text()
    assert not folders[1].exists()
    steps = max(STEPS, last(run)["global_step"] + 4)
    whole = ["batch_size=16", f"trainer.max_steps={steps}"]
    commands.pretrain(arguments(shop, run, *whole, "resume=true"))
    commands.pretrain(arguments(shop, one, *whole))

    expected, found = (load_file(folder / "model.safetensors") for folder in (one, run))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4, msg=name)
    tables = [pd.read_parquet(folder / "weights.parquet") for folder in (one, run)]
    assert len(tables[0]) == steps
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4, atol=5e-4)


def by_torchrun(rank: int) -> dict[str, str]:
    return {
        "TORCHELASTIC_RUN_ID": "one",
        "RANK": str(rank),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "GROUP_RANK": str(rank),
        "GROUP_WORLD_SIZE": "2",
    }


def by_srun(rank: int) -> dict[str, str]:
    return {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank),
        "SLURM_NNODES": "2",
    }


def _process(
    rank: int, folder: Path, port: int, words: list[str], started: Any, change: Any
) -> None:
    file = os.open(folder / f"rank{rank}", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    # pytest has put its own in their place.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    os.environ.update(started(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with ExitStack() as patched, mock.patch.object(sys, "argv", ["grap-seq", "pretrain", *words]):
        change(rank, patched)
        cli.main()


def ended(
    folder: Path,
    words: Callable[[int], list[str]],
    change: Callable[[int, ExitStack], None] = lambda rank, patched: None,
    started: Callable[[int], dict[str, str]] = by_torchrun,
) -> list[str]:
    """What two processes say that end with an error of the user's, before they train."""
    port, context = free_port(), multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_process, args=(rank, folder, port, words(rank), started, change))
        for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(WAIT)
        process.kill()
    said = [(folder / f"rank{rank}").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in processes] == [2, 2], said
    return said


def of_two(shop: Path, folder: Path, *extra: str) -> list[str]:
    return arguments(shop, folder / "run", "trainer=ddp", "trainer.nodes=2", *ON_CPUS, *extra)


def test_other_data_on_one_machine(
    shop: Path, prepared: Callable[..., Path], tmp_path: Path
) -> None:
    folders = shop, prepared()
    for text in ended(tmp_path, lambda rank: of_two(folders[rank], tmp_path)):
        (line,) = text.splitlines()
        assert re.search(
            rf"rank 1 on {HERE} has other data in {folders[1]} than rank 0 on {HERE} in {shop}:"
            " copy the data",
            line,
        )
    assert not (tmp_path / "run").exists()


def test_a_copy_of_the_data_may_be_elsewhere(shop: Path, tmp_path: Path) -> None:
    """It is other settings that are refused then; SLURM has started the processes."""
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy)
    texts = ended(
        tmp_path,
        lambda rank: of_two((shop, copy)[rank], tmp_path, f"batch_size={8 + rank}"),
        started=by_srun,
    )
    for text in texts:
        (line,) = text.splitlines()
        assert re.search(
            rf"rank 1 on {HERE} was started with batch_size=9, and rank 0 on {HERE} with"
            " batch_size=8: give the same command",
            line,
        )


def test_other_versions_on_one_machine(shop: Path, tmp_path: Path) -> None:
    def older(rank: int, patched: ExitStack) -> None:
        real = metadata.version

        def version(name: str) -> str:
            return "1.0" if rank == 1 and name == "torch" else real(name)

        patched.enter_context(mock.patch.object(metadata, "version", version))

    own = re.escape(torch.__version__)
    for text in ended(tmp_path, lambda rank: of_two(shop, tmp_path), older):
        (line,) = text.splitlines()
        assert re.search(
            rf"rank 1 on {HERE} has torch 1.0, and rank 0 on {HERE} has {own}: install the", line
        )


def test_fewer_gpus_on_one_machine_and_no_nccl(shop: Path, tmp_path: Path) -> None:
    """Each machine looks for its own GPUs; the other one waits for it no longer than it has to."""

    def begin(settings: Any, words: list[str]) -> Path:
        check_trainer(settings.trainer)
        time.sleep(WAIT)
        return Path()

    def pretend(rank: int, patched: ExitStack) -> None:
        for owner, name, value in (
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "device_count", lambda: 1 - rank),
            (dist, "is_nccl_available", lambda: False),
            (commands, "_pretrain", begin),
        ):
            patched.enter_context(mock.patch.object(owner, name, value))

    words = ["trainer=ddp", "trainer.nodes=2", "trainer.precision=32-true"]
    began = time.monotonic()
    first, second = ended(tmp_path, lambda rank: arguments(shop, tmp_path / "run", *words), pretend)
    assert time.monotonic() - began < WAIT / 2
    problem = "trainer=ddp needs 1 GPUs, and PyTorch finds 0; use trainer="
    assert f"grap-seq: rank 1 on {socket.gethostname()} has failed: {problem}" in first
    assert f"grap-seq pretrain: {problem}" in second
    assert len(second.splitlines()) == 1
    assert "PyTorch has no NCCL: gradients go by gloo" in first


def test_another_number_of_processes_than_the_config_says(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in by_torchrun(0).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ValueError, match=r"but 2 processes were.* on 2 machines: write trainer.nodes=2 trainer.dev"
    ):
        commands.pretrain(of_two(shop, tmp_path, "trainer.devices=4"))


def test_several_machines_without_a_starter() -> None:
    trainer = configs.compose("pretrain", ["trainer=cpu", "trainer.nodes=2"]).trainer
    with pytest.raises(ValueError, match=r"trainer\.nodes=2: start .* by torchrun, or by srun"):
        check_trainer(trainer)


def test_the_script_of_a_batch_job_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees how many tasks the job has, and has to train by itself."""
    for name, value in by_srun(0).items():
        monkeypatch.setenv(name, value)
    assert launched.environment() is not None
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    assert launched.environment() is None


def test_a_process_that_does_not_come(shop: Path, tmp_path: Path) -> None:
    def alone(rank: int, patched: ExitStack) -> None:
        del rank
        short = launched.MEETING / 150
        patched.enter_context(mock.patch.object(launched, "MEETING", short))

    port, context = free_port(), multiprocessing.get_context("fork")
    process = context.Process(
        target=_process,
        args=(0, tmp_path, port, of_two(shop, tmp_path), by_torchrun, alone),
    )
    process.start()
    process.join(WAIT)
    said = (tmp_path / "rank0").read_text()
    assert process.exitcode == 2, said
    assert "rank 0: not all of 2 processes have come to 127.0.0.1, port" in said
    assert len(said.splitlines()) == 1


def test_who_does_not_come_is_named_where_the_store_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launched, "MEETING", timedelta(milliseconds=200))
    store, mine = TCPStore("127.0.0.1", 0, None, True), SimpleNamespace(rank=1, name="rank 1")
    with pytest.raises(ValueError, match=r"of 3 processes, rank 0, 2 has not come in 0 s"):
        launched._meet(store, mine, 3, {})  # type: ignore[arg-type]
