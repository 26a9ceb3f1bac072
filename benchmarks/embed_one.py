"""CPU time of one customer's embedding by a loaded model, one thread.

python benchmarks/embed_one.py                        # a run on a random table, which it makes
python benchmarks/embed_one.py runs/flights_gru_grap  # a run on flights, of `grap-seq demo`

Half of the calls ask for the same customer, half for one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import grap_seq
from benchmarks.small_run import random_events, small_run
from grap_seq.prep.drift import DriftWarning
from grap_seq.prep.transform import read_events


def milliseconds(work: Callable[[], Any], repetitions: int) -> tuple[float, float]:
    """Least and median CPU time of a call, in ms."""
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        times.append(1000 * (time.process_time() - start))
    times.sort()
    return times[0], times[len(times) // 2]


def measure(run: str | Path, events: pd.DataFrame, repetitions: int) -> None:
    """Print what the first embedding takes, and those behind it."""
    model = grap_seq.load(run)
    name = model.schema.id
    customers = [part for _, part in events.groupby(name, sort=False)][: repetitions + 1]
    start = time.process_time()
    model.embed(customers[0])
    first = 1000 * (time.process_time() - start)
    same = milliseconds(lambda: model.embed(customers[0]), repetitions)
    others = iter(customers[1:] * repetitions)
    each = milliseconds(lambda: model.embed(next(others)), repetitions)
    length = statistics.median(map(len, customers))
    print(
        f"{model.schema.name}, {len(model.schema.fields)} fields, median {length:.0f} events:"
        f" first {first:.1f} ms; median, least of {repetitions}: the same customer {same[1]:.1f},"
        f" {same[0]:.1f} ms, others {each[1]:.1f}, {each[0]:.1f} ms"
    )


def drift(run: str | Path, events: pd.DataFrame, repetitions: int) -> None:
    """Print what counting shares for drift takes of it."""
    model = grap_seq.load(run)
    one = events[events[model.schema.id] == events[model.schema.id].iloc[0]]
    rows = model.coder.encode(one).to_batches()
    _, median = milliseconds(lambda: model.drift_of(rows), repetitions)
    print(f"of it shares for drift: {median:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", help="a run on flights; default: one on a random table")
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    # Threads that wait for work count as CPU time.
    torch.set_num_threads(1)
    # Single customers are no sample of the data.
    warnings.simplefilter("ignore", DriftWarning)
    with tempfile.TemporaryDirectory() as name:
        if options.run is None:
            run, events = Path(small_run(Path(name))), random_events(300, 21)
        else:
            run, events = Path(options.run), read_events("flights")
        measure(run, events, options.repetitions)
        drift(run, events, options.repetitions)


if __name__ == "__main__":
    main()
