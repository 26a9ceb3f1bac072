"""Requests per second and latency of `grap-seq serve` at several numbers of clients.

python benchmarks/serve.py [--clients 1 50 200] [--seconds 10]

The run is of a random table with two fields, and customers have 21 events. Each client asks for one
customer after the other over a connection of its own. Clients are one process beside the server's,
and share the machine's cores with it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.small_run import random_events, small_run


class Client:
    """A connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, body: bytes) -> int:
        """Status of the answer to a request for embeddings."""
        head = f"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        (length,) = (line.split(":")[1] for line in lines if line.startswith("content-length"))
        await self.reader.readexactly(int(length))
        return int(lines[0].split()[1])


async def measured(port: int, bodies: list[bytes], clients: int, seconds: float) -> str:
    """A row of the table: requests a second, and latency in ms."""
    times: list[float] = []
    failed = 0
    end = time.perf_counter() + seconds

    async def work(number: int) -> None:
        nonlocal failed
        client = Client(port)
        await client.open()
        while time.perf_counter() < end:
            start = time.perf_counter()
            failed += await client.ask(bodies[(number + len(times)) % len(bodies)]) != 200
            times.append(1000 * (time.perf_counter() - start))
        client.writer.close()

    start = time.perf_counter()
    await asyncio.gather(*map(work, range(clients)))
    rate = len(times) / (time.perf_counter() - start)
    cuts = statistics.quantiles(times, n=100)
    return (
        f"{clients} clients: {rate:.0f} requests/s, median {cuts[49]:.0f} ms, p95 {cuts[94]:.0f}"
        f" ms, p99 {cuts[98]:.0f} ms, {failed} of {len(times)} failed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        serve(Path(small_run(Path(name))), options.clients, options.seconds)


def serve(run: Path, clients: Sequence[int], seconds: float) -> None:
    """Start a server, and print a row for each number of clients."""
    parts = random_events(300, 21).groupby("customer")
    bodies = [f'{{"events": {part.to_json(orient="records")}}}'.encode() for _, part in parts]
    command = [sys.executable, "-u", "-m", "grap_seq", "serve", f"run={run}", "port=0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        port = int(line.partition("127.0.0.1:")[2].partition(";")[0])
        asyncio.run(measured(port, bodies, 1, 1))
        for number in clients:
            print(asyncio.run(measured(port, bodies, number, seconds)), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
