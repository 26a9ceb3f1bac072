"""log.txt of a run: all that its commands said, with times, and more than the screen shows.

What a command says before it holds the folder of its run waits in memory until then.
"""

from __future__ import annotations

import logging
import shlex
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from grap_seq.seal import LOG_FILE
from grap_seq.terminal import LOG, plain


class RunLog(logging.Handler):
    """Appends to the log of the run that a command holds."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.run: Path | None = None
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # A message may be anything that Rich can draw.
        message: Any = record.msg
        self.write(plain(message))

    def write(self, text: str) -> None:
        """Append lines, each with the time."""
        record = logging.makeLogRecord({})
        time = logging.Formatter().formatTime(record)
        self._waiting += [f"{time}  {line}\n" for line in text.splitlines()]
        if self.run is None:
            return
        lines, self._waiting = self._waiting, []
        # A full disk is noticed by what writes the run itself.
        with suppress(OSError), (self.run / LOG_FILE).open("a", encoding="utf-8") as file:
            file.writelines(lines)


_commands: list[RunLog] = []


@contextmanager
def of_command(words: Sequence[str]) -> Iterator[None]:
    """Keep what a command says: its own words first, the traceback of its error last."""
    log = RunLog()
    _commands.append(log)
    LOG.addHandler(log)
    log.write(shlex.join(["grap-seq", *words]))
    try:
        yield
    except Exception:
        log.write(traceback.format_exc())
        raise
    finally:
        LOG.removeHandler(log)
        _commands.remove(log)


def keep_in(run: Path) -> None:
    """From now on what the command says goes into this run, which it holds."""
    for log in _commands:
        log.run = run
