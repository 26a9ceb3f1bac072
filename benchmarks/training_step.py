"""A training step: milliseconds, events per CPU second, and where the time goes.

GRU 256 and HT-Transformer 128 x 4 on artificial data like Churn's (6 fields, about 100 events a
sequence) and AlfaBattle's (18 fields, about 230), 32 sequences a batch, 5 sub-sequences of each as
in the paper, one thread. Equal weights and GraP take the same batches in turns; medians over steps.
The parts of a step are timed apart ("encoder" and "heads" are their forward passes). The matrix
products of a step are counted by PyTorch's own counter and set beside the speed of one large
product on the same machine in the same run.

    python benchmarks/training_step.py [--steps 10] [--compile]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from grap_seq import config as configs
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.files import write_json
from grap_seq.prep.prepare import prepare
from grap_seq.prep.synth import synth
from grap_seq.schema import Schema
from grap_seq.batch import Batch
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module, crop_policy

RESULTS = Path(__file__).parent / "results" / "training_step.json"
DATA = {"churn": 100_000, "alfabattle": 150_000}
SIZES = {
    "gru": ["encoder.hidden=256"],
    "ht_transformer": ["encoder.hidden=128", "encoder.layers=4", "encoder.feedforward=512"],
}
WEIGHTINGS = ("equal", "grap")
BATCH = 32
PARTS = ("data", "encoder", "heads", "backward", "optimiser")


@dataclass
class Run:
    """A module with its optimiser."""

    module: PretrainModule
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, schema: Schema, overrides: list[str], compiled: bool) -> Run:
        module, _ = build_module(configs.compose("pretrain", overrides), schema)
        if compiled:
            module.model.encoder.compile(dynamic=True)
        optimizers, _ = module.configure_optimizers()
        return cls(module, optimizers[0])

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; CPU seconds of its parts."""
        seconds: dict[str, float] = {}
        model, objective = self.module.model, self.module.objective
        with measured(seconds, "whole"):
            self.optimizer.zero_grad()
            with measured(seconds, "encoder"):
                states = model(batch)
            with measured(seconds, "heads"):
                losses = objective(batch, states)
            with measured(seconds, "backward"):
                objective.weighting.total(losses).backward()  # type: ignore[no-untyped-call]
            with measured(seconds, "optimiser"):
                self.module.configure_gradient_clipping(self.optimizer, 1.0)
                self.optimizer.step()
        return seconds


@contextlib.contextmanager
def measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    seconds[name] = time.process_time() - cpu
    seconds[f"{name}_wall"] = time.perf_counter() - wall


def product_speed(size: int = 1024, times: int = 10) -> float:
    """Floating-point operations per CPU second of one large product; the best of some."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    taken = []
    for _ in range(times):
        start = time.process_time()
        torch.mm(left, right)
        taken.append(time.process_time() - start)
    return 2 * size**3 / min(taken)


def operations(step: Callable[[], Any]) -> float:
    """Floating-point operations of the matrix products in a step."""
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return float(counter.get_total_flops())


def prepared(dataset: str, place: Path) -> Path:
    source = synth(dataset, place / "raw", DATA[dataset], 0)
    with contextlib.redirect_stdout(io.StringIO()):
        prepare(dataset, place / "prepared", source=source)
    return place / "prepared"


def measure(dataset: str, folder: Path, encoder: str, steps: int, compiled: bool) -> list[Any]:
    """A row for every weighting."""
    overrides = [f"dataset={dataset}", f"encoder={encoder}", *SIZES[encoder]]
    settings = configs.compose("pretrain", overrides)
    sequences = Sequences(folder, "train")
    data = EpochBatches(sequences, crop_policy(settings), BATCH, seed=0, epoch=0)
    schema = sequences.schema
    runs = {
        name: Run.of(schema, [*overrides, f"weighting={name}"], compiled) for name in WEIGHTINGS
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in WEIGHTINGS}
    for number in range(steps + 2):
        fetched: dict[str, float] = {}
        with measured(fetched, "data"):
            batch = data[number % len(data)]
        events = sum(int(group.seq_lens.sum()) for group in batch)
        for name in WEIGHTINGS if number % 2 else WEIGHTINGS[::-1]:
            seconds = runs[name].step(batch) | fetched | {"events": events}
            if number > 1:
                taken[name].append(seconds)
    rows = []
    for name, found in taken.items():
        middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
        rate = statistics.median(one["events"] / (one["whole"] + one["data"]) for one in found)
        flops = 0.0 if compiled else operations(partial(runs[name].step, batch))
        rows.append(
            {
                "data": dataset,
                "encoder": encoder,
                "weighting": name,
                "compiled": compiled,
                "milliseconds": 1e3 * (middle["whole"] + middle["data"]),
                "events": middle["events"],
                "events_per_cpu_second": rate,
                "grap_over_equal": statistics.median(
                    one["whole"] / other["whole"]
                    for one, other in zip(found, taken["equal"], strict=True)
                ),
                **{
                    f"{part}_share": middle[part] / (middle["whole"] + middle["data"])
                    for part in PARTS
                },
                "gflops_per_cpu_second": flops / (found[-1]["whole"]) / 1e9,
                "steps": steps,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="torch.compile of the encoder too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dataset in DATA:
        with tempfile.TemporaryDirectory() as name:
            folder = prepared(dataset, Path(name))
            for encoder in SIZES:
                for compiled in (False, True) if arguments.compile else (False,):
                    rows += measure(dataset, folder, encoder, arguments.steps, compiled)
    speed = product_speed() / 1e9
    table = Table(box=MARKDOWN)
    for title in ("data", "encoder", "weighting", "compiled", "ms", "events/CPU s", "÷ equal"):
        table.add_column(title, justify="right")
    for title in (*PARTS, "GFLOP/s"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            *(str(row[key]) for key in ("data", "encoder", "weighting", "compiled")),
            f"{row['milliseconds']:.0f}",
            f"{row['events_per_cpu_second']:,.0f}",
            f"{row['grap_over_equal']:.2f}",
            *(f"{row[f'{part}_share']:.0%}" for part in PARTS),
            f"{row['gflops_per_cpu_second']:.0f}",
        )
    Console(width=150).print(table)
    print(f"one large matrix product: {speed:.0f} GFLOP per CPU second")
    write_json(RESULTS, {"product_gflops": speed, "rows": rows})


if __name__ == "__main__":
    main()
