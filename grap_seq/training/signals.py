"""SIGTERM and SIGINT: finish the step, save, leave with 143 or 130; a second one: leave at once.

A batch system that takes a machine away sends SIGTERM and waits some seconds; Ctrl+C is SIGINT.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

WATCHED = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Remembers that the process was told to stop.

    Attributes:
        received: number of the signal; None: there was none.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def listen(self) -> None:
        """Take signals from here on; whoever trains puts earlier handlers back in the end.

        Only a program's main thread can, so in a notebook's thread this does nothing.
        """
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        # A process of several may hear of it twice: from the terminal and from its parent.
        if self.received is not None and multiprocessing.parent_process() is None:
            raise SystemExit(128 + number)
        self.received = number

    def stop(self, first: bool, run: Path, step: int) -> NoReturn:
        """Leave with the code that shells give a process which a signal has ended.

        Args:
            first: whether this process is the one that speaks.
            run: the run folder, whose checkpoint has been written.
            step: its optimiser step.

        Raises:
            SystemExit: always.
        """
        number = signal.SIGTERM if self.received is None else self.received
        if first:
            name = signal.Signals(number).name
            text = f"{name}: {run} has stopped at step {step}; resume=true goes on from there"
            print(text, file=sys.stderr, flush=True)
        raise SystemExit(128 + number)


@contextmanager
def forwarded(processes: Any) -> Iterator[Signals]:
    """Hand signals on to processes that train, while this one waits for them.

    Args:
        processes: a function that returns them.
    """
    heard = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hand_on(number: int, frame: FrameType | None) -> None:
        del frame
        again, heard.received = heard.received is not None, number
        for process in processes():
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL if again else number)

    earlier = {number: signal.signal(number, hand_on) for number in WATCHED}
    try:
        yield heard
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
