"""What a checkpoint costs: milliseconds, size, and the share of training time.

Runs with the default settings; every checkpoint that they write is timed (dump, write, sync, record
and rename). The share at the default interval is that of one checkpoint in `checkpoint_every`; the
share of the run is that of all that were written, at epochs' ends too. Prepared data are needed.

    grap-seq prepare output=data/flights && python benchmarks/checkpoint.py
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import pandas as pd
from rich.console import Console
from rich.table import Table

from grap_seq import commands, config
from grap_seq.onednn import bound_caches
from grap_seq.training.checkpoints import Interval


def measure(prepared: Path, run: Path, settings: list[str]) -> dict[str, float]:
    """One run: median milliseconds and megabytes of its checkpoints, and both shares in percent."""
    seconds: list[float] = []
    save = lightning.Trainer.save_checkpoint

    def timed(*arguments: Any, **options: Any) -> None:
        began = perf_counter()
        save(*arguments, **options)
        seconds.append(perf_counter() - began)

    lightning.Trainer.save_checkpoint = timed  # type: ignore[method-assign]
    try:
        commands.pretrain([f"prepared={prepared}", f"run={run}", "overwrite=true", *settings])
    finally:
        lightning.Trainer.save_checkpoint = save  # type: ignore[method-assign]
    sizes = [path.stat().st_size for path in run.glob("checkpoints/*.ckpt")]
    training = pd.read_csv(run / "metrics.csv")["seconds"].sum()
    one = statistics.median(seconds)
    interval = Interval.parse(config.compose("pretrain", []).checkpoint_every).seconds
    return {
        "checkpoints": len(seconds),
        "ms": 1000 * one,
        "MB": max(sizes) / 1e6,
        "% at the default interval": 100 * one / interval,
        "% of this run": 100 * sum(seconds) / training,
    }


def main() -> None:
    bound_caches()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepared", type=Path, default=Path("data/flights"))
    parser.add_argument("--folder", type=Path, default=Path("runs/checkpoint"))
    parser.add_argument("settings", nargs="*", help="of pretrain, such as epochs=2")
    arguments = parser.parse_args()
    found = {
        name: measure(
            arguments.prepared, arguments.folder / name, [f"encoder={name}", *arguments.settings]
        )
        for name in ("gru", "transformer", "ht_transformer")
    }
    table = Table("encoder", *next(iter(found.values())))
    for name, row in found.items():
        table.add_row(name, *(f"{value:.3g}" for value in row.values()))
    Console().print(table)
    path = Path(__file__).parent / "results" / "checkpoint.json"
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
