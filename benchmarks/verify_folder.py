"""Seconds to verify a prepared folder of many parts, the first time and again.

`python benchmarks/verify_folder.py [--parts 1000] [--events 20000]`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.prepared_folder import describe
from grap_seq.files import write_json
from grap_seq.prep.folder.verify import verify
from grap_seq.schema import TIME, Field, Schema

RESULTS = Path(__file__).parent / "results" / "verify_folder.json"
SCHEMA = Schema("random", "client", "day", (Field("score", "numerical"),))
EVENTS = 100


def write(folder: Path, parts: int, events: int) -> int:
    """A prepared folder; returns its bytes."""
    (folder / "train").mkdir()
    rng, rows = np.random.default_rng(0), events // EVENTS
    offsets = pa.array(np.arange(0, rows * EVENTS + 1, EVENTS, dtype=np.int32))
    for number in range(parts):
        times = np.sort(rng.random((rows, EVENTS)), axis=1).ravel()
        scores = rng.random(rows * EVENTS, np.float32)
        lists = {TIME: times, "score": scores}
        columns = {name: pa.ListArray.from_arrays(offsets, v) for name, v in lists.items()}
        ids = np.arange(number * rows, (number + 1) * rows)
        path = folder / "train" / f"part-{number:05d}.parquet"
        pq.write_table(pa.table({"client": ids, **columns}), path)
    describe(folder, SCHEMA)
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20_000, help="in a part")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), arguments.parts, arguments.events)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            verify(Path(name))
            seconds.append(time.perf_counter() - start)
    RESULTS.parent.mkdir(exist_ok=True)
    first, again = seconds
    write_json(RESULTS, vars(arguments) | {"bytes": size, "first": first, "again": again})
    Console().print(
        f"{arguments.parts:,} parts, {size / 1e6:,.0f} MB: {first:.2f} s ({size / first / 1e6:,.0f}"
        f" MB/s), again {again:.3f} s"
    )


if __name__ == "__main__":
    main()
