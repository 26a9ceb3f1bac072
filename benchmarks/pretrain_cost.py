"""What GraP costs: step time and peak memory of a pretraining step, divided by equal weights'.

The configuration is PhysioNet's (GRU 256, four losses and the downstream head, 32 sequences of
about 434 events, 5 sub-sequences each) on random events of the same shape, so no download is
needed. Steps of both runs alternate in one process for time; memory has a process each.

    python benchmarks/pretrain_cost.py --steps 10
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.files import write_json
from grap_seq.schema import Field, Label, Schema
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module

RESULTS = Path(__file__).parent / "results" / "pretrain_cost.json"
SCHEMA = Schema(
    "physionet-like",
    "id",
    "hour",
    (Field("parameter", "categorical", 38), Field("value", "numerical", None, "parameter")),
    (Label("death", "auc", ("0", "1")),),
)


def events(sequences: int = 320, seed: int = 0) -> Sequences:
    """Random sequences with PhysioNet's lengths (mean 434, deviation about 145)."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.normal(434, 145, sequences), 50, 1400).astype(int)
    columns = {
        "event_time": [np.sort(rng.uniform(0, 48, n)) for n in lengths],
        "parameter": [rng.integers(1, 38, n).astype(np.int32) for n in lengths],
        "value": [rng.normal(size=n).astype(np.float32) for n in lengths],
    }
    labels = pa.array(rng.integers(0, 2, sequences), pa.int32())
    table = pa.table({"id": np.arange(sequences), "label": labels, **columns})
    return Sequences.from_table(SCHEMA, table)


def module(weighting: str) -> tuple[PretrainModule, torch.optim.Optimizer]:
    """The training module and its optimiser as `grap-seq pretrain` builds them."""
    times = [f"dataset.{key}" for key in ("max_time_gap=8", "time_scale=1", "time_jitter=0.1")]
    chosen = ["dataset=physionet2012", f"weighting={weighting}", *times]
    settings = configs.compose("pretrain", chosen)
    built, _ = build_module(settings, SCHEMA)
    optimizers, _ = built.configure_optimizers()
    return built, optimizers[0]


def step(model: PretrainModule, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """One optimiser step, clipping included."""
    optimizer.zero_grad()
    model.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
    model.configure_gradient_clipping(optimizer, 1.0)
    optimizer.step()


def batches(count: int) -> list[Batch]:
    """Training batches, the same for every run."""
    dataset = EpochBatches(events(), CropPolicy(), 32, seed=0, epoch=0)
    return [dataset[index % len(dataset)] for index in range(count)]


def time_ratio(steps: int) -> dict[str, float]:
    """Median over steps of GraP's time divided by equal weights' on the same batch."""
    runs = {name: module(name) for name in ("equal", "grap")}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for index, batch in enumerate(batches(steps + 1)):
        order = list(runs) if index % 2 else list(runs)[::-1]
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            step(*runs[name], batch)
            if index:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    pairs = list(zip(seconds["grap"], seconds["equal"], strict=True))
    return {
        "time_ratio": statistics.median(g[0] / e[0] for g, e in pairs),
        "cpu_time_ratio": statistics.median(g[1] / e[1] for g, e in pairs),
        "equal_seconds": statistics.median(e[1] for _, e in pairs),
        "grap_seconds": statistics.median(g[1] for g, _ in pairs),
    }


def peak_memory(weighting: str, queue: multiprocessing.Queue[float]) -> None:
    """Peak resident memory of three steps above the memory before the first, in MB."""
    torch.set_num_threads(1)
    run, data = module(weighting), batches(3)
    before = psutil.Process().memory_info().rss
    for batch in data:
        step(*run, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    queue.put((peak - before) / 1e6)


def memory(weighting: str) -> float:
    """`peak_memory` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=peak_memory, args=(weighting, queue))
    process.start()
    value = queue.get()
    process.join()
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, float] = time_ratio(arguments.steps)
    peaks = {name: statistics.median(memory(name) for _ in range(3)) for name in ("equal", "grap")}
    result |= {f"{name}_megabytes": peak for name, peak in peaks.items()}
    result["memory_ratio"] = peaks["grap"] / peaks["equal"]
    result["steps"] = arguments.steps
    RESULTS.parent.mkdir(exist_ok=True)
    write_json(RESULTS, result)
    table = Table("GraP / equal weights", "ratio", "target")
    table.add_row("step time (wall)", f"{result['time_ratio']:.2f}", "1.10")
    table.add_row("step time (CPU)", f"{result['cpu_time_ratio']:.2f}", "1.10")
    table.add_row("peak memory", f"{result['memory_ratio']:.2f}", "1.15")
    Console().print(table)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
