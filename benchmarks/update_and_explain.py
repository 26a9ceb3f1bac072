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
import pandas as pd
import torch

import grap_seq

SEQUENCES, EVENTS = 1000, 300


def events(sequences: int, length: int) -> pd.DataFrame:
    """A random table: an event a day."""
    rng, rows = np.random.default_rng(0), sequences * length
    return pd.DataFrame(
        {
            "customer": np.repeat(np.arange(sequences), length),
            "when": np.tile(np.arange(length), sequences) + rng.random(rows) / 2,
            "kind": rng.choice(list("abcdefgh"), rows),
            "amount": rng.normal(size=rows),
        }
    )


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
        folder = Path(name)
        prepared = grap_seq.prepare(
            events(200, 50),
            folder / "prepared",
            id="customer",
            time="when",
            time_unit="day",
            categorical=["kind"],
            numerical=["amount"],
        )
        small: dict[str, Any] = {"epochs": 1, "encoder": {"hidden": 128}, "trainer": {"threads": 1}}
        model = grap_seq.load(grap_seq.pretrain(prepared, run=folder / "run", **small))
        table = events(SEQUENCES, EVENTS)
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
