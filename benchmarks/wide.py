"""Cost of many fields: 10, 100 and 1,000, from the table to the scores.

4,000 events of 100 clients, four of five fields categorical with 20 values. Looked at (`prepare
--suggest`), prepared, trained for two steps with GraP and with equal weights, embedded, evaluated
with few trees, shown as a report: a process each, one thread, with the CPU seconds and the peak
memory of the whole process, start included.

Linux only.

    python benchmarks/wide.py [--fields 10 100 1000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.memory import resident
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results" / "wide.json"
EVENTS, CLIENTS, VALUES = 4000, 100, 20
TREES = "boosting.binary={n_estimators: 10, min_data_in_leaf: 5}"


def write_table(folder: Path, fields: int) -> Path:
    """The table with its description."""
    random = np.random.default_rng(0)
    clients = random.integers(0, CLIENTS, EVENTS)
    numbers = [f"x{place}" for place in range(fields // 5)]
    codes = [f"c{place}" for place in range(fields - len(numbers))]
    columns: dict[str, Any] = {"client": clients, "when": random.uniform(0, 1000, EVENTS)}
    columns |= {name: random.integers(0, VALUES, EVENTS).astype(str) for name in codes}
    columns |= {name: random.normal(size=EVENTS) for name in numbers}
    columns["y"] = clients % 2
    pq.write_table(pa.table(columns), folder / "events.parquet")
    description = {
        "name": "wide",
        "id": "client",
        "time": "when",
        "categorical": codes,
        "numerical": numbers,
        "label": "y",
        "split": {"validation": 0.2, "test": 0.2, "seed": 1},
    }
    (folder / "events.yaml").write_text(yaml.safe_dump(description), "utf-8")
    return folder / "events.parquet"


def measured(command: str, arguments: list[str]) -> dict[str, float]:
    """CPU seconds and peak memory of one command in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (command, arguments))


def _run(command: str, arguments: list[str]) -> dict[str, float]:
    from grap_seq import commands

    getattr(commands, command)(arguments)
    return {"cpu_seconds": time.process_time(), "peak_mb": resident("VmHWM") / 1e6}


def one_size(fields: int, place: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Every command on a table of so many fields, and what it took."""
    source, prepared, run = write_table(place, fields), place / "prepared", place / "run"
    data = ["dataset=table", f"source={source}", f"output={prepared}", "threads=1"]
    train = ["dataset=table", f"prepared={prepared}", "trainer=smoke", "trainer.max_steps=2"]
    train += ["trainer.threads=1"]
    looking = ["--suggest", f"source={source}", f"spec={place / 'suggested.yaml'}"]
    yield "suggest", measured("prepare", looking)
    yield "prepare", measured("prepare", data)
    yield "train_grap", measured("pretrain", [*train, f"run={run}"])
    equal = [f"run={place / 'equal'}", "weighting=equal"]
    yield "train_equal", measured("pretrain", [*train, *equal])
    yield "embed", measured("embed", [f"run={run}", "threads=1"])
    yield "evaluate", measured("evaluate", [f"run={run}", "threads=1", TREES])
    yield "report", measured("report", [f"run={run}"])


def show(results: dict[str, dict[str, Any]]) -> None:
    table = Table(box=MARKDOWN)
    table.add_column("fields", justify="right")
    for name in next(iter(results.values())):
        table.add_column(f"{name}: CPU s, MB", justify="right")
    for fields, row in results.items():
        cells = (f"{part['cpu_seconds']:.1f}, {part['peak_mb']:,.0f}" for part in row.values())
        table.add_row(f"{int(fields):,}", *cells)
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    if RESULTS.is_file():
        results = json.loads(RESULTS.read_text("utf-8"))
    for fields in arguments.fields:
        with tempfile.TemporaryDirectory() as place:
            row = results[str(fields)] = {}
            for name, found in one_size(fields, Path(place)):
                # At once: a size takes minutes.
                row[name] = found
                write_json(RESULTS, results)
    show(results)


if __name__ == "__main__":
    main()
