"""Processes on several machines hear of each other's end, so that none waits for a dead one.

A collective waits for whoever does not come: NCCL for ten minutes, gloo for thirty. Every process
therefore says each second, in a store that all of them reach, that it is at work, or what ended it.
The first one listens to all, the others to the first.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import NoReturn

from torch import distributed as dist
from torch._C._distributed_c10d import Store

from grap_seq.errors import MISTAKE
from grap_seq.terminal import visible

# Seconds: between two words of a process, and without one after which it counts as dead. What holds
# the interpreter, such as a large copy, takes less.
BEAT, SILENT = 1.0, 40.0
# The same where a connection to some process has just been lost.
LOST = 5.0
FAILED, DONE = "failed", "done"


class Heartbeat:
    """A thread that keeps in touch with the other processes, and ends this one after a failure.

    Args:
        store: of all processes; the thread has a connection of its own.
        rank: of this process.
        world: number of processes.
    """

    def __init__(self, store: Store, rank: int, world: int) -> None:
        self.store, self.rank = store, rank
        self.name = f"rank {rank} on {socket.gethostname()}"
        self._own = store.clone()  # type: ignore[attr-defined]  # torch's types do not know it.
        store.set(_key(rank), "0")
        self._others = [other for other in range(world) if other != rank and 0 in (other, rank)]
        self._names: dict[int, str] = {}
        self._over, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def listen(self, names: dict[int, str]) -> None:
        """Expect a word of the others from here on: all have come.

        Args:
            names: of the processes, by rank, for messages.
        """
        self._names = names

    def leave(self) -> None:
        """Be no longer missed by the others."""
        self._over.set()
        self._thread.join()
        try:
            self.store.set(_key(self.rank), DONE)
        except dist.DistError:
            # Whoever had the store has left too.
            return

    def fail(self, error: Exception) -> None:
        """Tell the others what ends this process, unless one of them is the cause.

        Returns in the first case; in the second one the thread ends the process.
        """
        if isinstance(error, dist.DistError) or "gloo/transport" in str(error):
            self._lost.set()
            self._thread.join(4 * LOST)
        self._over.set()
        told = json.dumps({"of": self.name, "message": str(error) or type(error).__name__})
        try:
            self.store.compare_set(FAILED, "", told)
            # The store may end with this process, or with what has started it.
            time.sleep(2 * BEAT)
        except dist.DistError:
            return

    def _run(self) -> None:
        beats, heard = 0, dict.fromkeys(self._others, (b"", 0))
        while not self._over.wait(BEAT):
            beats += 1
            try:
                self._own.set(_key(self.rank), str(beats))
                if self._own.check([FAILED]):
                    told = json.loads(self._own.get(FAILED))
                    self._end(f"{told['of']} has failed: {told['message']}")
                if not self._names:
                    continue
                words = self._own.multi_get([_key(other) for other in self._others])
            except dist.DistError:
                # It is gone too where the process that has it was done before this one.
                if self._over.wait(LOST):
                    return
                self._end(f"{self._names.get(0, 'rank 0')} has ended: it is not reached any more")
            for other, word in zip(self._others, words, strict=True):
                since = heard[other][1] if word == heard[other][0] else beats
                heard[other] = word, since
                patience = LOST if self._lost.is_set() else SILENT
                if word != DONE.encode() and (beats - since) * BEAT >= patience:
                    self._tell_dead(self._names[other])

    def _tell_dead(self, name: str) -> NoReturn:
        text = "it was killed, or its machine is not reached any more"
        self._own.compare_set(FAILED, "", json.dumps({"of": name, "message": text}))
        self._end(f"{name} has failed: {text}")

    def _end(self, text: str) -> NoReturn:
        # The main thread may wait in a collective, for ever.
        line = " ".join(text.split())
        print(visible(f"grap-seq: {line}"), file=sys.stderr, flush=True)
        os._exit(MISTAKE)


def _key(rank: int) -> str:
    return f"word/{rank}"
