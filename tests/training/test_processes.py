"""Several processes that train: stopped and killed for real, and heard by this machine alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from grap_seq import commands
from tests.processes import command, together
from tests.training.saved import assert_same_runs
from tests.training.test_signals import SIZES, SMALL

pytestmark = together
WAIT = 300.0


def arguments(shop: Path, run: Path, *extra: str) -> list[str]:
    names = ["dataset=table", f"prepared={shop}", f"run={run}", "trainer=ddp2_cpu", "select=loss"]
    return [*names, *SMALL, *SIZES, "epochs=60", "checkpoint_every=1", *extra]


def until(happened: Callable[[], bool], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def started(shop: Path, run: Path, said: Path) -> ForkServerProcess:
    """A run of two fresh processes that have begun to train."""
    process = command(["pretrain", *arguments(shop, run)], said)
    until(lambda: process.exitcode is not None or bool(list(run.glob("checkpoints/*.ckpt"))))
    return process


@pytest.mark.slow
def test_two_processes_are_stopped_and_continued(
    shop: Path, tmp_path: Path, forked_ranks: None
) -> None:
    whole, broken, said = tmp_path / "whole", tmp_path / "broken", tmp_path / "said"
    process = started(shop, broken, said)
    assert process.pid is not None, said.read_text()
    family = psutil.Process(process.pid).children(recursive=True)
    listening = [
        connection.laddr.ip
        for one in (psutil.Process(process.pid), *family)
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1"}
    process.terminate()
    process.join(WAIT)
    assert process.exitcode == 128 + signal.SIGTERM, said.read_text()
    assert "resume=true goes on" in said.read_text()
    until(lambda: not any(one.is_running() for one in family), 60)
    few = "trainer.max_steps=40"
    commands.pretrain(arguments(shop, broken, "resume=true", few))
    commands.pretrain(arguments(shop, whole, few))
    assert_same_runs(whole, broken)


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent(shop: Path, tmp_path: Path) -> None:
    process = started(shop, tmp_path / "run", tmp_path / "said")
    assert process.pid is not None
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    until(lambda: not any(one.is_running() for one in family), 60)
