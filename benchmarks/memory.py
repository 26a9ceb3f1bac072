"""Memory of a process, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path


def resident(key: str, process: int | str = "self") -> int:
    """Bytes of a line of /proc/PROCESS/status: VmRSS, its maximum VmHWM, RssAnon, RssFile."""
    # Not `ru_maxrss`: a child starts with the maximum of the process that spawned it.
    found = re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("utf-8"))
    assert found is not None
    return 1024 * int(found[1])
