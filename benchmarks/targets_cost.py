"""What earlier and later events as targets cost: step time divided by that of the next event alone.

GraP, a GRU of 128, batches of 8 random sequences of about 100 events with 5 sub-sequences each, of
a table with few fields and one with many. Steps of all runs alternate in one process.

    python benchmarks/targets_cost.py --steps 20
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.pretrain_cost import step
from grap_seq import config as configs
from grap_seq.data.crops import CropPolicy
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.files import write_json
from grap_seq.schema import Field, Label, Schema
from grap_seq.training.pretrain import build_module

RESULTS = Path(__file__).parent / "results" / "targets_cost.json"
TARGETS = ("[next]", "[next,past]", "[next,past,future]")


def data(categories: int, numbers: int, sequences: int = 200) -> Sequences:
    """Random sequences with fields of 100 codes and standard normal numbers."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 150, sequences)
    kinds = [f"kind{i}" for i in range(categories)]
    amounts = [f"amount{i}" for i in range(numbers)]
    columns: dict[str, Any] = {
        "event_time": [np.sort(rng.uniform(0, 48, n)) for n in lengths],
        **{name: [rng.integers(1, 100, n).astype(np.int32) for n in lengths] for name in kinds},
        **{name: [rng.normal(size=n).astype(np.float32) for n in lengths] for name in amounts},
    }
    fields = (
        *(Field(name, "categorical", 100) for name in kinds),
        *(Field(name, "numerical") for name in amounts),
    )
    schema = Schema("random", "id", "day", fields, (Label("label", "auc", ("0", "1")),))
    labels = pa.array(rng.integers(0, 2, sequences), pa.int32())
    table = pa.table({"id": np.arange(sequences), "label": labels, **columns})
    return Sequences.from_table(schema, table)


def seconds(sequences: Sequences, steps: int) -> dict[str, list[float]]:
    """CPU seconds of every step, by targets; all runs see the same batches in turn."""
    runs = {}
    times = [f"dataset.{key}" for key in ("max_time_gap=8", "time_scale=1", "time_jitter=0.1")]
    for targets in TARGETS:
        settings = configs.compose("pretrain", [*times, f"objective.targets={targets}"])
        module, _ = build_module(settings, sequences.schema)
        runs[targets] = module, module.configure_optimizers()[0][0]
    dataset = EpochBatches(sequences, CropPolicy(), 8, seed=0, epoch=0)
    found: dict[str, list[float]] = {targets: [] for targets in TARGETS}
    for index in range(steps + 2):
        batch = dataset[index % len(dataset)]
        for turn in range(len(TARGETS)):
            targets = TARGETS[(index + turn) % len(TARGETS)]
            began = time.process_time()
            step(*runs[targets], batch)
            # The first steps compile kernels and fill caches.
            if index >= 2:
                found[targets].append(time.process_time() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    table = Table("fields", "losses", "targets", "ms a step", "ratio")
    for categories, numbers in ((2, 1), (5, 4), (20, 9)):
        fields = categories + numbers
        found = seconds(data(categories, numbers), arguments.steps)
        for families, (targets, taken) in enumerate(found.items(), 1):
            pairs = zip(taken, found[TARGETS[0]], strict=True)
            ratio = statistics.median(mine / base for mine, base in pairs)
            milliseconds = 1e3 * statistics.median(taken)
            losses = 1 + families * (fields + 1)
            rows.append(
                {"fields": fields, "losses": losses, "targets": targets, "ratio": ratio}
                | {"milliseconds": milliseconds, "steps": arguments.steps}
            )
            table.add_row(
                str(fields), str(losses), escape(targets), f"{milliseconds:.0f}", f"{ratio:.2f}"
            )
    write_json(RESULTS, rows)
    Console().print(table)


if __name__ == "__main__":
    main()
