"""CPU seconds to embed, to go on with new events, and to explain: 1,000 sequences of 300 events.

`python benchmarks/update_and_explain.py`
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import grap_seq
from benchmarks.small_run import random_events, small_run

SEQUENCES, EVENTS = 1000, 300


def seconds(work: Callable[[], Any]) -> float:
    """Least CPU time of three calls."""
    found = []
    for _ in range(3):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    # Threads that wait for work count as CPU time.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        model = grap_seq.load(small_run(Path(name)))
        table = random_events(SEQUENCES, EVENTS)
        new = table["when"] >= EVENTS - 1
        states = model.start(table[~new])
        updated, whole = model.update(states, table[new]).embeddings, model.embed(table)
        few = table[table["customer"] < 10]
        print(f"embed all: {seconds(lambda: model.embed(table)):.3f}")
        print(
            f"update with one event each: {seconds(lambda: model.update(states, table[new])):.3f}"
        )
        moved = np.abs(updated.to_numpy() - whole.to_numpy())
        print(f"largest difference: {moved.max():.1e}")
        print(f"embed ten: {seconds(lambda: model.embed(few)):.3f}")
        print(f"explain the last 100 events of ten: {seconds(lambda: model.explain(few)):.3f}")


if __name__ == "__main__":
    main()
