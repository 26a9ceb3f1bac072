"""Memory of `evaluate` where features are many: by default 100,000 labelled rows of 3,072 columns.

Writes a prepared folder of short random sequences and a run with embeddings (trained and untrained,
random numbers with a little of the label), evaluates it in a fresh process and prints its largest
resident memory, of its own and in all (with the pages of files that it has mapped, which the system
takes back whenever somebody needs memory). Trees are few: their number changes no memory. Linux.

    python benchmarks/evaluate_memory.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.memory import resident
from benchmarks.prepared_folder import describe
from grap_seq import seal
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.origin import Origin
from grap_seq.evaluation.protocol import evaluate
from grap_seq.files import write_json
from grap_seq.schema import LABEL, TIME, Field, Label, Schema

RESULTS = Path(__file__).parent / "results" / "evaluate_memory.json"
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
EVENTS = 10
ROW_GROUP = 4096  # of the embeddings that `grap-seq embed` writes
SCHEMA = Schema(
    "random",
    "client",
    "day",
    (Field("shop", "categorical", size=50), Field("amount", "numerical")),
    (Label("leaves", "auc", ("no", "yes")),),
)


def write(folder: Path, rows: int, columns: int) -> tuple[Path, Path]:
    """A run and its prepared folder."""
    run, prepared = folder / "run", folder / "data"
    run.mkdir()
    prepared.mkdir()
    rng, first = np.random.default_rng(0), 0
    labelled: dict[str, tuple[Any, Any]] = {}
    for split, share in SHARES.items():
        count = round(share * rows)
        ids, labels = np.arange(first, first + count), rng.integers(2, size=count)
        first += count
        offsets = pa.array(np.arange(0, count * EVENTS + 1, EVENTS, dtype=np.int32))
        times = np.sort(rng.random((count, EVENTS)) * 100, axis=1).ravel()
        shops = rng.integers(1, 50, count * EVENTS).astype(np.int32)
        amounts = rng.normal(np.repeat(labels, EVENTS) * 0.2).astype(np.float32)
        lists = {TIME: times, "shop": shops, "amount": amounts}
        table = {name: pa.ListArray.from_arrays(offsets, v) for name, v in lists.items()}
        (prepared / split).mkdir()
        label = pa.array(labels, pa.int32())
        part = pa.table({"client": ids, **table, LABEL: label})
        pq.write_table(part, prepared / split / "part-00000.parquet", row_group_size=2000)
        labelled[split] = ids, labels
    used = LabelsUsed("leaves", None, 1.0, "last")
    seal.write_json(run, "model.json", {"labels": used.to_dict(), "weights": "random"})
    origin = Origin("random", describe(prepared, SCHEMA).data)
    for split, (ids, labels) in labelled.items():
        for target in ("embeddings", "embeddings/untrained"):
            with seal.write(run, f"{target}/{split}.parquet") as path:
                _write_embeddings(path, ids, labels, columns, origin, rng)
    return run, prepared


def _write_embeddings(
    path: Path,
    ids: Any,
    labels: Any,
    columns: int,
    origin: Origin,
    rng: np.random.Generator,
) -> None:
    names = [f"emb_{number:04d}" for number in range(columns)]
    kinds = {"client": pa.int64(), LABEL: pa.int32(), **dict.fromkeys(names, pa.float32())}
    metadata = {"parts": json.dumps({"last": columns}), "eval_length": "1200", **origin.to_dict()}
    schema = pa.schema(list(kinds.items()), metadata)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(ids), ROW_GROUP):
            here = slice(start, start + ROW_GROUP)
            vectors = rng.random((len(ids[here]), columns), np.float32)
            vectors[:, :50] += 0.1 * labels[here, None].astype(np.float32)
            values = {"client": ids[here], LABEL: labels[here].astype(np.int32)}
            values |= {name: vectors[:, number] for number, name in enumerate(names)}
            writer.write_table(pa.table(values, schema))


def measure(
    run: Path, prepared: Path, trees: int, threads: int, queue: multiprocessing.Queue[Any]
) -> None:
    """Largest memory of an evaluation in this process, and its CPU seconds."""
    own, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            own[0] = max(own[0], resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    boosting = Boosting(binary=BoostingSettings(n_estimators=trees))
    start = time.process_time()
    evaluate(run, prepared, folds=0, seeds=1, threads=threads, boosting=boosting)
    seconds = time.process_time() - start
    stop.set()
    watcher.join()
    queue.put((own[0], resident("VmHWM"), seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=3_072)
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        run, prepared = write(Path(name), arguments.rows, arguments.columns)
        queue: multiprocessing.Queue[Any] = context.Queue()
        options = (run, prepared, arguments.trees, arguments.threads, queue)
        process = context.Process(target=measure, args=options)
        process.start()
        own, peak, seconds = queue.get()
        process.join()
    RESULTS.parent.mkdir(exist_ok=True)
    found = {"own_gb": own / 1e9, "peak_gb": peak / 1e9, "cpu_seconds": seconds}
    write_json(RESULTS, vars(arguments) | found)
    Console().print(
        f"{arguments.rows:,} labelled rows x {arguments.columns:,} columns: "
        f"peak {peak / 1e9:.2f} GB ({own / 1e9:.2f} GB of its own), "
        f"{seconds:.0f} CPU s with {arguments.trees} trees"
    )


if __name__ == "__main__":
    main()
