"""The most memory that training has taken: what PyTorch allocated on a GPU, or what the process
held on a CPU, libraries and all.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import torch

MIB = 2**20
_PROCESS = Path("/proc/self")


def restart(device: torch.device) -> None:
    """Forget what was taken before: a process may train several runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        # See proc(5). Where it may not be written, the peak is that of the process's whole life.
        with contextlib.suppress(OSError):
            (_PROCESS / "clear_refs").write_text("5", "utf-8")


def peak(device: torch.device) -> float:
    """MiB since `restart`; NaN where the system does not say (Linux does)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    # Not `ru_maxrss`: a child starts with the maximum of the process that spawned it.
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", (_PROCESS / "status").read_text("utf-8"))
        if found is not None:
            return 1024 * int(found[1]) / MIB
    return float("nan")
