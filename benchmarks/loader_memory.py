"""Memory of the loader as the data grow: a random split of 1, 4 and 16 times the sequences.

For each size a fresh process opens the split (which copies it to the memory-mapped file), forgets
it, opens it again and builds 20 training batches. Three figures: Arrow's peak allocation during the
copy; the memory of its own that the process gained; and the file's pages that it has mapped, which
belong to the system's page cache and are given back whenever somebody needs memory. Linux only.

    python benchmarks/loader_memory.py
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.memory import resident
from benchmarks.prepared_folder import describe
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.files import write_json
from grap_seq.schema import TIME, Field, Schema

RESULTS = Path(__file__).parent / "results" / "loader_memory.json"
EVENTS = 120
FACTORS = (1, 4, 16)


def write_split(folder: Path, rows: int) -> None:
    """A prepared training split of `rows` sequences with 120 events each, part by part."""
    schema = Schema("random", "client", "day", (Field("score", "numerical"),))
    (folder / "train").mkdir(parents=True)
    rng = np.random.default_rng(0)
    part = 10_000
    offsets = pa.array(np.arange(0, part * EVENTS + 1, EVENTS, dtype=np.int32))
    for number in range(rows // part):
        times = pa.array(rng.random(part * EVENTS))
        scores = pa.array(rng.random(part * EVENTS, np.float32))
        table = pa.table(
            {
                "client": np.arange(number * part, (number + 1) * part),
                TIME: pa.ListArray.from_arrays(offsets, times),
                "score": pa.ListArray.from_arrays(offsets, scores),
            }
        )
        path = folder / "train" / f"part-{number:05d}.parquet"
        pq.write_table(table, path, row_group_size=2000)
    describe(folder, schema)


def measure(folder: Path, queue: multiprocessing.Queue[tuple[float, ...]]) -> None:
    """Copying, own and mapped memory in MB for one split."""
    Sequences(folder, "train")
    copied = pa.default_memory_pool().max_memory()
    pa.default_memory_pool().release_unused()
    own, mapped = resident("RssAnon"), resident("RssFile")
    dataset = EpochBatches(Sequences(folder, "train"), CropPolicy(), 64, seed=0, epoch=0)
    for step in range(20):
        dataset[step]
    gained = resident("RssAnon") - own, resident("RssFile") - mapped
    queue.put(tuple(size / 1e6 for size in (copied, *gained)))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for factor in FACTORS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_split(folder, factor * 10_000)
            queue: multiprocessing.Queue[tuple[float, ...]] = context.Queue()
            process = context.Process(target=measure, args=(folder, queue))
            process.start()
            copied, own, mapped = queue.get()
            process.join()
            size = sum(path.stat().st_size for path in (folder / ".cache").iterdir()) / 1e6
        figures = {"file": size, "copying": copied, "own": own, "mapped": mapped}
        rows.append({"sequences": factor * 10_000, **figures})
    RESULTS.parent.mkdir(exist_ok=True)
    write_json(RESULTS, rows)
    names = ("file", "copying", "own", "mapped")
    table = Table("sequences", *(f"{name}, MB" for name in names))
    for row in rows:
        table.add_row(f"{row['sequences']:,}", *(f"{row[name]:.1f}" for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
