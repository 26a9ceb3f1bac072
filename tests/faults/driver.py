"""The process that `Driver` starts: it imports once, and forks a child for every job."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests import faults


def main(descriptor: int, imports: list[str]) -> None:
    """Work until the other end is closed."""
    for name in imports:
        importlib.import_module(name)
    connection: Connection[faults.Outcome, Any] = Connection(descriptor)
    while True:
        try:
            function, folder, arguments, n, kind = connection.recv()
        except EOFError:
            return
        if n is None:
            connection.send(_call(function, folder, arguments, 0, kind))
        else:
            connection.send(_forked(function, folder, arguments, n, kind))


def _forked(
    function: str, folder: Path, arguments: tuple[Any, ...], n: int, kind: faults.Kind
) -> faults.Outcome:
    # Memory that parent and child share: nobody has to read while the child writes, and processes
    # that the child leaves behind hold nothing up.
    shared = os.memfd_create("outcome")
    child = os.fork()
    if child == 0:
        outcome = _call(function, folder, arguments, n, kind)
        with os.fdopen(shared, "wb") as file:
            pickle.dump(outcome, file)
        # No handlers of the parent's, and none of Python's end.
        os._exit(outcome.status)
    _, status = os.waitpid(child, 0)
    with os.fdopen(shared, "rb") as file:
        file.seek(0)
        written = file.read()
    code = os.waitstatus_to_exitcode(status)
    return pickle.loads(written) if code >= 0 and written else faults.Outcome(code)


def _call(
    function: str, folder: Path, arguments: tuple[Any, ...], n: int, kind: faults.Kind
) -> faults.Outcome:
    module, name = function.split(":")
    error = None
    try:
        call = getattr(importlib.import_module(module), name)
        with faults.at(folder, n, kind):
            call(folder, *arguments)
    except BaseException:
        error = traceback.format_exc()
    sys.stdout.flush()
    return faults.Outcome(int(error is not None), error, faults.points())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
