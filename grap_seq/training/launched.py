"""Processes that torchrun or SLURM has started, one for each device, on one machine or several.

They are told apart by their rank. The first one, rank 0, owns the run folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta
from importlib import metadata
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from grap_seq.distributed import leave
from grap_seq.terminal import say
from grap_seq.training.heartbeat import Heartbeat
from grap_seq.training.made_from import MadeFrom, Source, prepared_folder
from grap_seq.training.same_run import alike

# How long processes wait for each other as they begin: machines and file systems differ.
MEETING = timedelta(minutes=5)
# Packages whose versions have to be the same everywhere.
PACKAGES = ("grap-seq", "torch", "lightning", "numpy")


def environment() -> ClusterEnvironment | None:
    """What has started this process as one of several; None: nothing has.

    Raises:
        ValueError: SLURM was not told how many processes a machine has.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # The script of a batch job knows the job's tasks too, but only `srun` starts them.
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return None
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:
        raise ValueError(f"SLURM: {error}") from error


def backend(accelerator: str) -> str:
    """What carries the collectives: NCCL between GPUs where PyTorch has it, else gloo."""
    if accelerator != "gpu":
        return "gloo"
    if dist.is_nccl_available():
        return "cpu:gloo,cuda:nccl"
    say("This PyTorch has no NCCL: gradients go by gloo, through the host's memory, which is slow.")
    return "gloo"


@contextmanager
def joined(config: Any, source: Source = prepared_folder) -> Iterator[None]:
    """Train with the other processes, if there are any; all but the first are silent.

    An error in one of them ends all of them, with its message.

    Args:
        config: of the run.
        source: what it is made from.

    Raises:
        ValueError: another number of processes was started than the config says, one of them has
            not come, or has other versions, data or settings; names it.
    """
    started = environment()
    if started is None:
        yield
        return
    _check_number(config.trainer, started)
    rank, world = started.global_rank(), started.world_size()
    # SLURM's are known to Lightning, and the meeting point wants them here.
    os.environ["MASTER_ADDR"] = started.main_address
    os.environ["MASTER_PORT"] = str(started.main_port)
    try:
        base, _, _ = next(iter(rendezvous("env://", rank, world, timeout=MEETING)))
    except dist.DistError as error:
        raise ValueError(
            f"rank {rank}: not all of {world} processes have come to {started.main_address}, port"
            f" {started.main_port} ({error}); look for what the others say, and start all again"
        ) from error
    store = PrefixStore(f"grap_seq/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", base)
    heartbeat = Heartbeat(store, rank, world)
    with ExitStack() as opened:
        if rank:
            silence = opened.enter_context(open(os.devnull, "w", encoding="utf-8"))
            opened.enter_context(redirect_stdout(silence))
        try:
            _meet(store, heartbeat, world, _facts(config, source(config)))
            dist.init_process_group(
                backend(config.trainer.accelerator),
                store=PrefixStore("group", store),
                rank=rank,
                world_size=world,
            )
            opened.callback(leave)
            yield
        except Exception as error:
            heartbeat.fail(error)
            raise
        except BaseException:
            heartbeat.leave()
            raise
        heartbeat.leave()


def _check_number(trainer: Any, started: ClusterEnvironment) -> None:
    world = started.world_size()
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", os.environ.get("SLURM_NNODES", trainer.nodes)))
    if (trainer.nodes, trainer.nodes * trainer.devices) != (nodes, world):
        raise ValueError(
            f"trainer.nodes={trainer.nodes} trainer.devices={trainer.devices}, but {world}"
            f" processes were started on {nodes} machines: write trainer.nodes={nodes}"
            f" trainer.devices={world // nodes}, or start as many"
        )


def _facts(config: Any, made: MadeFrom) -> dict[str, Any]:
    """What has to be the same everywhere."""
    return {
        "versions": {
            "Python": ".".join(map(str, sys.version_info[:2])),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "data": made.data,
        "place": made.place,
        "settings": alike(config),
    }


def _meet(store: Store, heartbeat: Heartbeat, world: int, facts: Mapping[str, Any]) -> None:
    """Wait until all processes have said what they have, and compare it."""
    mine = json.dumps({"name": heartbeat.name, **facts})
    store.set(f"facts/{heartbeat.rank}", mine)
    keys = [f"facts/{rank}" for rank in range(world)]
    try:
        store.wait(keys, MEETING)
    except dist.DistStoreError as error:
        missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
        raise ValueError(
            f"of {world} processes, rank {', '.join(missing)} has not come in"
            f" {MEETING.total_seconds():.0f} s; look for what they say, and start all again"
        ) from error
    found = [json.loads(store.get(key)) for key in keys]
    heartbeat.listen({rank: other["name"] for rank, other in enumerate(found)})
    for other in found[1:]:
        _compare(found[0], other)


def _compare(first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for what, version in first["versions"].items():
        if other["versions"].get(what) != version:
            raise ValueError(
                f"{other['name']} has {what} {other['versions'].get(what)}, and {first['name']} has"
                f" {version}: install the same version on all machines"
            )
    if other["data"] != first["data"]:
        raise ValueError(
            f"{other['name']} has other data in {other['place']} than {first['name']} in"
            f" {first['place']}: copy the data from there, or name the same ones"
        )
    for key in sorted(first["settings"].keys() | other["settings"].keys()):
        values = first["settings"].get(key), other["settings"].get(key)
        if values[0] != values[1]:
            raise ValueError(
                f"{other['name']} was started with {key}={values[1]}, and {first['name']} with"
                f" {key}={values[0]}: give the same command on all machines"
            )
