"""Processes that train together on one machine: no other machine hears them."""

from __future__ import annotations

import atexit
import os
import socket
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch import distributed as dist
from torch._C._distributed_c10d import TCPStore

from grap_seq.distributed import leave
from grap_seq.orphans import die_with_parent

LOOPBACK = "127.0.0.1"


class LoopbackDDP(DDPStrategy):
    """DDP in fresh processes that meet at an address which no other machine reaches.

    PyTorch's own meeting point listens on every interface of the machine.

    Args:
        backend: what carries the collectives.
    """

    def __init__(self, backend: str) -> None:
        # Fresh processes receive the objects built here: only fitting is distributed, and one
        # process opens the run folder and writes the model.
        super().__init__(start_method="spawn", process_group_backend=backend)

    def setup_distributed(self) -> None:
        die_with_parent()
        assert self.cluster_environment is not None
        self.set_world_ranks()
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        for backend in ("GLOO", "NCCL"):
            os.environ[f"{backend}_SOCKET_IFNAME"] = loopback
        self._meet(self.cluster_environment.main_port)
        # It finds the group made.
        super().setup_distributed()

    def _meet(self, port: int) -> None:
        options: dict[str, Any] = {"is_master": False}
        if self.global_rank == 0:
            # The store closes it.
            listening = socket.create_server((LOOPBACK, port))
            options = {"is_master": True, "master_listen_fd": listening.detach()}
        timeout = self._timeout or dist.default_pg_timeout
        store = TCPStore(LOOPBACK, port, self.world_size, timeout=timeout, **options)
        dist.init_process_group(
            self._get_process_group_backend(),
            store=store,
            rank=self.global_rank,
            world_size=self.world_size,
            timeout=timeout,
        )
        atexit.register(leave)
