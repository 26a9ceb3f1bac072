"""What every weighting costs: optimiser steps and peak memory, divided by equal weights'.

Encoders of three sizes, random inputs, K losses of two-layer heads (H -> 128 -> 8, cross-entropy)
and a downstream head of the same kind at every position. The divisor is always our own run with
equal weights and the fused node. "general" puts separate layers on the views; "torchjd" is that
library's own engine, one backward pass of the encoder a loss, aggregated in parameter space,
divided by our run of the same method.

Time: one thread, all runs take the same batches in turns, in an order drawn for every step; medians
over steps of the ratios within a step. Memory (Linux only): a process each, the highest resident
memory of three steps above that before the first one.

    python benchmarks/weighting_cost.py [--quick]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.memory import resident
from benchmarks.weighting_models import ENGINE, METHODS, Cell, Run, Trainer
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results" / "weighting_cost.json"
GENERAL = ("equal", "grap", "grap_memory")
BASE: Run = ("equal", "fused")
Row = dict[str, Any]


@cache
def seconds(cell: Cell, steps: int, budget: float) -> dict[Run, list[tuple[float, float]]]:
    """Wall and CPU seconds of every run's steps: `steps` each, or more in `budget` CPU seconds."""
    torch.set_num_threads(1)
    trainers = {run: Trainer(cell, run) for run in cell.runs}
    order, taken = random.Random(0), {run: list[tuple[float, float]]() for run in cell.runs}
    end = time.process_time() + budget
    while len(taken[BASE]) <= steps or time.process_time() < end:
        batch = cell.batch()
        for run in order.sample(cell.runs, len(cell.runs)):
            wall, cpu = time.perf_counter(), time.process_time()
            trainers[run].step(batch)
            taken[run].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {run: values[1:] for run, values in taken.items()}


def peak_memory(cell: Cell, run: Run) -> int:
    """Bytes; a step of a tiny model comes first, and loads the libraries that a step needs."""
    torch.set_num_threads(1)
    tiny = replace(cell, hidden=32, losses=2, sequences=2, length=4)
    Trainer(tiny, run).step(tiny.batch())
    trainer, batches = Trainer(cell, run), [cell.batch() for _ in range(3)]
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # VmHWM starts again
    before = resident("VmRSS")
    for batch in batches:
        trainer.step(batch)
    return resident("VmHWM") - before


@cache
def memory(cell: Cell, run: Run) -> int:
    """`peak_memory` of a fresh process."""
    # Freed tensors go back to the system at once: what stays is not for the allocator to choose,
    # and repetitions differ by less than one percent.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.weighting_models"])
    with context.Pool(1) as pool:
        return pool.apply(peak_memory, (cell, run))


def measure(cell: Cell, run: Run, steps: int, budget: float) -> Row:
    """A row of the results."""
    taken = seconds(cell, steps, budget)
    base = (run[0], "fused") if run[1] == "torchjd" else BASE
    pairs = list(zip(taken[run], taken[base], strict=True))
    return {
        "method": run[0],
        "node": run[1],
        "divided_by": base[0],
        "encoder": cell.encoder,
        "hidden": cell.hidden,
        "losses": cell.losses,
        "tokens": cell.sequences * cell.length,
        "time_ratio": median(mine[0] / other[0] for mine, other in pairs),
        "cpu_time_ratio": median(mine[1] / other[1] for mine, other in pairs),
        "memory_ratio": memory(cell, run) / memory(cell, base),
        "n_steps": len(pairs),
        "cpu_seconds": median(mine[1] for mine, _ in pairs),
        "megabytes": memory(cell, run) / 1e6,
    }


def targets(method: str, node: str) -> tuple[float, float]:
    """Highest wanted ratios of time and memory."""
    if (method, node) == BASE or node == "torchjd":
        return inf, inf
    wanted = node == "fused" and method.startswith("grap")
    return (1.10, 1.15) if wanted else (1.35, 1.35)


def table(rows: list[Row], encoder: str, hidden: int) -> Table:
    """By K: "wall (CPU), memory"; bold where CPU time or memory misses its target."""
    mine = [row for row in rows if (row["encoder"], row["hidden"]) == (encoder, hidden)]
    columns = list(dict.fromkeys(row["losses"] for row in mine))
    result = Table(f"{encoder} {hidden}", "node", *(f"K = {k}" for k in columns), box=MARKDOWN)
    for method, node in dict.fromkeys((row["method"], row["node"]) for row in mine):
        cells = dict.fromkeys(columns, "")
        time_target, memory_target = targets(method, node)
        for row in mine:
            if (row["method"], row["node"]) == (method, node):
                wall, cpu, peak = (row[f"{n}_ratio"] for n in ("time", "cpu_time", "memory"))
                text = f"{wall:.2f} ({cpu:.2f}), {peak:.2f}"
                missed = round(cpu, 2) > time_target or round(peak, 2) > memory_target
                cells[row["losses"]] = f"**{text}**" if missed else text
        result.add_row(method, node, *cells.values())
    return result


def cells(quick: bool) -> Iterator[Cell]:
    """What is measured."""
    both = [(method, node) for node in ("fused", "general") for method in GENERAL]
    every = [(method, "fused") for method in METHODS] + both[2:]
    engine = [(method, "torchjd") for method in ENGINE]
    if quick:
        yield from (Cell("gru", 256, losses, tuple(both)) for losses in (4, 19, 64))
        return
    for encoder, hidden in (("gru", 256), ("transformer", 256), ("gru", 1024)):
        for losses in (4, 7, 19, 64):
            runs = every + engine * (encoder == "gru" and hidden == 256 and losses in (7, 19))
            length = 25 if (hidden, losses) == (1024, 64) else 100
            yield Cell(encoder, hidden, losses, tuple(runs), length=length)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three cells, and no results file")
    parser.add_argument("--steps", type=int, default=10, help="at least so many for each run")
    parser.add_argument("--seconds", type=float, default=60, help="of CPU, at least, for a cell")
    arguments = parser.parse_args()
    budget = min(arguments.seconds, 20) if arguments.quick else arguments.seconds
    jobs = [(cell, run) for cell in cells(arguments.quick) for run in cell.runs]
    rows: list[Row] = []
    for cell, run in track(jobs, "weightings"):
        rows.append(measure(cell, run, arguments.steps, budget))
        if not arguments.quick:
            write_json(RESULTS, rows)
    console = Console(width=110)
    console.print(
        "wall (CPU) time and memory / equal weights with the fused node (torchjd: / ours)"
    )
    console.print("targets: GraP fused 1.10 and 1.15, other methods 1.35; bold: missed")
    for encoder, hidden in dict.fromkeys((cell.encoder, cell.hidden) for cell, _ in jobs):
        console.print(table(rows, encoder, hidden))
        flat = [r for r in rows if (r["method"], r["node"]) == ("grap", "fused")]
        flat = [r for r in flat if (r["encoder"], r["hidden"]) == (encoder, hidden)]
        change = flat[-1]["cpu_time_ratio"] - flat[0]["cpu_time_ratio"]
        span = f"K = {flat[0]['losses']} to {flat[-1]['losses']}"
        console.print(
            f"GraP fused, change of the CPU ratio from {span}: {change:+.2f} (within 0.1)"
        )


if __name__ == "__main__":
    main()
