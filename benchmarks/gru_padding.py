"""Three ways to give a GRU crops of very different lengths: why batches are lists of rectangles.

160 crops of a sequence's 10 to 90 % in one padded rectangle, in rectangles with at most 10 %
padding each, and packed (`torch.nn.utils.rnn`, no padding). Forward and backward pass, CPU seconds,
median of five interleaved runs, one thread.

    python benchmarks/gru_padding.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from grap_seq.data.batch import Crop, groups_of
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results" / "gru_padding.json"
INPUT = 128
SHAPES = ((128, 80), (256, 400))


def ways(hidden: int, events: int) -> dict[str, Callable[[], None]]:
    """A function for each way that runs the GRU forward and backward."""
    lengths = np.random.default_rng(0).integers(events // 10, events * 9 // 10, 160)
    crops = [Crop(0, 0, int(n), 0) for n in np.sort(lengths)[::-1]]
    rnn = nn.GRU(INPUT, hidden, batch_first=True)

    def padded(max_padding: float) -> None:
        losses = []
        for group in groups_of(crops, max_padding):
            states, _ = rnn(torch.randn(len(group), group[0].length, INPUT))
            losses.append(states.square().sum())
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    def packed() -> None:
        cells = torch.randn(len(crops), crops[0].length, INPUT)
        sizes = torch.tensor([crop.length for crop in crops])
        states, _ = rnn(pack_padded_sequence(cells, sizes, batch_first=True))
        states.data.square().sum().backward()

    return {
        "one rectangle": lambda: padded(1.0),
        "rectangles": lambda: padded(0.1),
        "packed": packed,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    rows = []
    for hidden, events in SHAPES:
        seconds: dict[str, list[float]] = {}
        for _ in range(5):
            for name, run in ways(hidden, events).items():
                start = time.process_time()
                run()
                seconds.setdefault(name, []).append(time.process_time() - start)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        rows.append({"hidden": hidden, "events": events, **medians})
    RESULTS.parent.mkdir(exist_ok=True)
    write_json(RESULTS, rows)
    table = Table("hidden", "events", *(f"{name}, s" for name in medians))
    for row in rows:
        figures = (f"{row[name]:.2f}" for name in medians)
        table.add_row(str(row["hidden"]), str(row["events"]), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
