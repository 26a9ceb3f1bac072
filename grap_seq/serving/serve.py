"""`grap-seq serve`: a server until it is told to end."""

from __future__ import annotations

import socket
import warnings
from pathlib import Path

from grap_seq.device import set_threads
from grap_seq.evaluation.load import load
from grap_seq.prep.drift import DriftWarning
from grap_seq.terminal import say

# Seconds for what has begun, once it is to end.
GRACE = 10
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    run: Path,
    *,
    host: str,
    port: int,
    megabytes: float,
    waiting: int,
    device: str,
    threads: int | None,
) -> None:
    """Serve a run until SIGTERM or SIGINT; requests that have come by then are answered.

    Args:
        run: a finished run.
        host: address to listen at.
        port: 0 for any that is free.
        megabytes: largest body that is read, in millions of bytes.
        waiting: requests that may wait.
        device: where the model works.
        threads: of PyTorch; None: one a core.

    Raises:
        FileNotFoundError, ValueError: as of `grap_seq.load`; the packages of [serve] are not there.
        OSError: the address is taken, or none of this machine's.
    """
    try:
        import uvicorn

        from grap_seq.serving.app import build
    except ImportError as error:
        raise ValueError(
            f"serving needs the packages of pip install 'grap-seq[serve]' ({error.name})"
        ) from error
    # The metrics say it, and one line where a share leaves its range.
    warnings.simplefilter("ignore", DriftWarning)
    set_threads(threads)
    app = build(load(run, device=device), megabytes=megabytes, waiting=waiting)
    with listening(host, port) as listener:
        port = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        say(f"Serving {run} at http://{shown}:{port}; its page is http://{shown}:{port}/docs.")
        if host not in LOOPBACK:
            say("Whoever reaches this address may use it: there is no password.")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=GRACE,
        )
        uvicorn.Server(config).run([listener])


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections; raises as `serve`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(
            error.errno, f"{host}:{port}: {error.strerror}; name another with host= or port="
        ) from error
    # Connections inherit it; asyncio does not see that they are TCP. The second half of an answer
    # would wait 40 ms for the client's word that it has the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
