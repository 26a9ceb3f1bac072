"""CPU time of one customer's embedding by a loaded model.

python benchmarks/embed_one.py RUN EVENTS.parquet
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import grap_seq


def milliseconds(work: Callable[[], Any], repetitions: int) -> tuple[float, float]:
    """Least and median CPU time of a call, in ms."""
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        times.append(1000 * (time.process_time() - start))
    times.sort()
    return times[0], times[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("events", type=Path, help="a parquet or CSV file with the run's columns")
    parser.add_argument("--repetitions", type=int, default=100)
    options = parser.parse_args()
    # Threads that wait for work count as CPU time.
    torch.set_num_threads(1)
    model = grap_seq.load(options.run)
    read = pd.read_csv if options.events.suffix == ".csv" else pd.read_parquet
    events = read(options.events)
    name = model.schema.id
    one = events[events[name] == events[name].iloc[0]]
    start = time.process_time()
    model.embed(one)
    first = 1000 * (time.process_time() - start)
    least, median = milliseconds(lambda: model.embed(one), options.repetitions)
    print(f"{len(one)} events: first {first:.0f} ms, then {median:.1f} ms (least {least:.1f})")


if __name__ == "__main__":
    main()
