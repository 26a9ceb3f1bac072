"""A tracker in a thread of its own: training never waits for it, and goes on without it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from grap_seq.terminal import say
from grap_seq.trackers.kinds import KINDS, Tracked

# Seconds that the end of a run waits for what a tracker has not taken yet.
GRACE = 60.0
# Characters of a tracker's error that are shown.
SHOWN = 300
Call = Callable[[Tracked], None]


class Background:
    """Does what it is told about a run in one tracker, in order; warns once if that fails.

    Args:
        name: of the tracker.
        run: the run folder.
        step: optimiser steps that are behind it.
    """

    def __init__(self, name: str, run: Path, step: int = 0) -> None:
        self.name, self.run, self.step = name, run, step
        self._warned = False
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        # A tracker that hangs does not keep the program from its end.
        self._thread = Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def do(self, call: Call) -> None:
        if self._thread.is_alive():
            self._calls.put(call)

    def close(self) -> None:
        """Wait until all is done, or for a minute."""
        self._calls.put(None)
        self._thread.join(GRACE)
        if self._thread.is_alive():
            self._warn(f"has not answered for {GRACE:.0f} s")

    def _work(self) -> None:
        try:
            tracked = KINDS[self.name](self.run, id_of(self.run), self.step)
            while (call := self._calls.get()) is not None:
                call(tracked)
        except Exception as error:
            # Whatever a tracker's library raises, the run is worth more.
            self._warn(f"failed ({_short(error)})")

    def _warn(self, what: str) -> None:
        if not self._warned:
            say(f"Warning: tracker {self.name} {what}; it is told nothing more.")
        self._warned = True


def id_of(run: Path) -> str:
    """What a run is called in its trackers."""
    found: str = json.loads((run / "environment.json").read_text("utf-8"))["id"]
    return found


def attach(names: Sequence[str], run: Path, path: Path) -> None:
    """Add a file to a run in its trackers."""
    trackers = [Background(name, run) for name in names]
    for tracker in trackers:
        tracker.do(lambda tracked: tracked.attach(path))
        tracker.close()


def _short(error: Exception) -> str:
    """An error in one line, without a password in an address."""
    text = re.sub(r"//[^/@\s]*@", "//", " ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
