"""What a user sees of an error: one line and an exit code, or with `--debug` the traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback

# Exit codes.
BUG, MISTAKE = 1, 2
# Errors that the user can mend.
MENDABLE = (ValueError, OSError, FloatingPointError, MemoryError)
# What to do about what the system says, which knows no remedy.
REMEDIES = {
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ENOTDIR: "a file stands where a folder belongs: name another place",
    errno.EISDIR: "a folder stands where a file belongs: name another place",
    errno.ELOOP: "links lead round in a circle: name another place",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}


def report(error: Exception, command: str, debug: bool) -> int:
    """Print an error to stderr; returns the exit code."""
    from grap_seq.terminal import visible

    short = _out_of_memory(error)
    mendable = isinstance(error, MENDABLE) or short
    if debug:
        traceback.print_exception(error)
        return MISTAKE if mendable else BUG
    text = _said(error)
    if short:
        text = f"memory is not enough ({text}); lower the model's sizes, or those of a batch"
    elif not mendable:
        text = _unexpected(error)
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        text = f"{text}: {REMEDIES[error.errno]}"
    # Messages of libraries have several lines.
    line = " ".join(part.strip() for part in text.splitlines())
    print(visible(f"grap-seq {command}: {line}"), file=sys.stderr)
    return MISTAKE if mendable else BUG


def _said(error: Exception) -> str:
    """Its text; of an error in a process that builds batches, without PyTorch's traceback of it."""
    text = str(error)
    if not re.match(r"Caught \w+ in DataLoader worker process \d+\.\n", text):
        return text
    return text.rpartition(f"\n{type(error).__name__}: ")[2]


def _out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return False
    from grap_seq.memory import is_out_of_memory

    return is_out_of_memory(error) and not isinstance(error, MemoryError)


def _unexpected(error: Exception) -> str:
    """What to say about an error of ours, whose traceback goes into a fresh file."""
    text = f"unexpected {type(error).__name__}: {error}. This is an error of grap_seq"
    try:
        handle, log = tempfile.mkstemp(prefix="grap-seq-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(error, file=file)
    except OSError as problem:
        return f"{text}; --debug shows the traceback, for which there is no file ({problem})"
    return f"{text}; please report it with {log}, where the traceback is (--debug shows it)"
