"""Requests per second and latency of `grap-seq serve` at several numbers of clients.

python benchmarks/serve.py RUN EVENTS.csv [--clients 1 50 200] [--seconds 10]

Each client asks for one customer after the other over a connection of its own. Clients are one
process beside the server's, and share the machine's cores with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from grap_seq.schema import Schema


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


def requests(run: Path, table: Path) -> list[bytes]:
    """Bodies, one a customer."""
    schema = Schema.load(run)
    read = pd.read_csv if table.suffix == ".csv" else pd.read_parquet
    described = json.loads((run / "vocab.json").read_text("utf-8"))["spec"]
    columns = [schema.id, described["time"], *(field.name for field in schema.fields)]
    events = read(table)[columns]
    parts = (part.to_json(orient="records") for _, part in events.groupby(schema.id))
    return [f'{{"events": {part}}}'.encode() for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("events", type=Path, help="a parquet or CSV file with the run's columns")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    bodies = requests(options.run, options.events)
    words = ["serve", f"run={options.run}", "port=0"]
    command = [sys.executable, "-u", "-m", "grap_seq", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        port = int(line.partition("127.0.0.1:")[2].partition(";")[0])
        asyncio.run(measured(port, bodies, 1, 1))
        for clients in options.clients:
            print(asyncio.run(measured(port, bodies, clients, options.seconds)), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
