"""Processes that this one starts do not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal

from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]


def die_with_parent() -> None:
    """Let the system end this process when the one that started it ends, however that happens."""
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        # It was too late to ask for it.
        os.kill(os.getpid(), signal.SIGKILL)
