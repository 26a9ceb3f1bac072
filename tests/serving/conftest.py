"""A server of a small run, on the loopback, in a thread of this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.shop import purchases

Events = list[dict[str, Any]]
MEGABYTES, WAITING = 1.0, 500


class Client:
    """Connections to a port of the loopback, a new one for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(self, path: str, **content: Any) -> tuple[int, Any]:
        status, body = self.send("POST", path, json.dumps(content).encode())
        return status, json.loads(body)

    def metrics(self) -> dict[str, float]:
        status, body = self.send("GET", "/metrics")
        assert status == 200
        lines = [line.rpartition(" ") for line in body.decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}


def serving(run: Path) -> Generator[Client, None, None]:
    """A server of a run until the generator goes on."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra [serve]")
    from grap_seq import load
    from grap_seq.serving.app import build
    from grap_seq.serving.serve import listening

    app = build(load(run), megabytes=MEGABYTES, waiting=WAITING)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield Client(listener.getsockname()[1])
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def client(shop_run: Path) -> Generator[Client, None, None]:
    yield from serving(shop_run)


@pytest.fixture(scope="session")
def events() -> Callable[[int, int], Events]:
    """Events of some customers as JSON has them: `events(first, last)`."""
    table = purchases(300, seed=2)[["customer", "when", "kind", "amount"]]

    def some(first: int, last: int) -> Events:
        found: Any = table[table["customer"].between(first, last)].to_dict("records")
        return [{name: None if pd.isna(v) else v for name, v in one.items()} for one in found]

    return some
