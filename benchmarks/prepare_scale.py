"""Preparing at full size: memory, time and disk as events grow; others beside it; kill -9.

1. AlfaBattle-like events (15 categories, 2 numbers and a time: 18 fields with the one between
   transactions), 30 and 120 million, generated block by block; a process each, limited to 1 GB.
2. A table of 2 million events (20,000 sequences, two categories, two numbers, a time), prepared by
   us, by the pandas preprocessor of pytorch-lifestream, and made lists in DuckDB's own SQL, which
   neither codes nor scales anything; and the same with AlfaBattle's fields. Three times in turn,
   one thread, the median.
3. 12 million events, killed at up to five random moments and started again, compared with an
   undisturbed run byte by byte.

Linux only. Needs 25 GB of disk; `--quick` takes a tenth of the events.

    python benchmarks/prepare_scale.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import yaml
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.memory import resident
from grap_seq.files import sha256, write_json
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare

RESULTS = Path(__file__).parent / "results" / "prepare_scale.json"
FIELDS = 18
LIMIT = "1GB"
MILLION = 1_000_000
CATEGORIES, NUMBERS = ["shop", "channel"], ["amount", "balance"]
Row = dict[str, Any]


def alone(function: Callable[..., Any], *arguments: Any) -> Row:
    """Run in a fresh process: CPU and wall seconds, peak memory in MB of the whole process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, *arguments))


def _measured(function: Callable[..., Any], *arguments: Any) -> Row:
    wall, cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_mb": resident("VmHWM") / 1e6,
    }


def size(folder: Path) -> int:
    """Bytes of the files below a folder, which may change at the same time."""
    found = subprocess.run(["du", "--bytes", "-s", str(folder)], capture_output=True, text=True)
    return int(found.stdout.split()[0]) if found.stdout else 0


class PeakDisk:
    """The largest size of what a preparation writes, looked at every second."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.peak = folder, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(1):
            self.peak = max(self.peak, size(self.folder))

    def __enter__(self) -> PeakDisk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def prepare_alfabattle(source: Path, output: Path) -> None:
    prepare("alfabattle", output, source=source, memory_limit=LIMIT)


def scale(events: int, place: Path) -> Row:
    """One size: the row of the results."""
    source, output = place / "raw", place / "out"
    synth("alfabattle", source, events, 0)
    with PeakDisk(output.with_name("out.partial")) as disk:
        row = alone(prepare_alfabattle, source, output)
    row |= {
        "events": events,
        "values_per_cpu_second": events * FIELDS / row["cpu_seconds"],
        "source_gb": size(source) / 1e9,
        "prepared_gb": size(output) / 1e9,
        "peak_disk_gb": disk.peak / 1e9,
    }
    shutil.rmtree(place)
    return row


def write_table(folder: Path, events: int) -> Path:
    """A shop's table with its description, rows in random order."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer": generator.integers(0, events // 100, events),
            "moment": generator.integers(1_600_000_000, 1_700_000_000, events),
            "shop": generator.zipf(1.5, events).clip(max=5000).astype(str),
            "channel": generator.choice(["web", "app", "till", "phone"], events),
            "amount": generator.lognormal(3, 1, events),
            "balance": generator.normal(0, 1000, events),
        }
    )
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "events.parquet")
    spec: dict[str, Any] = {
        "name": "shop",
        "id": "customer",
        "time": "moment",
        "time_unit": "second",
    }
    spec |= {"categorical": CATEGORIES, "numerical": NUMBERS}
    (folder / "events.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    return folder / "events.parquet"


def prepare_table(source: Path, output: Path) -> None:
    prepare("table", output, source=source, threads=1)


def prepare_fields(source: Path, output: Path) -> None:
    prepare("alfabattle", output, source=source, threads=1)


def sql_lists(source: str, sequence: str, time: str, output: Path) -> None:
    """Lists in the order of time, by the engine alone."""
    engine = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    names = [name for name in engine.sql(f"FROM '{source}'").columns if name != sequence]
    lists = ", ".join(f'list("{name}" ORDER BY "{time}") AS "{name}"' for name in names)
    table = engine.sql(f"SELECT {sequence}, {lists} FROM '{source}' GROUP BY 1 ORDER BY 1")
    table.write_parquet(str(output), compression="zstd")


def ptls_preprocess(source: Path) -> None:
    """The same table through ptls's own preprocessor, in memory and in this process.

    Importing its package starts Dask's cluster and Spark; neither is used by the pandas version
    once its dispatcher gets a client that does nothing.
    """
    spec = importlib.util.find_spec("ptls")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = types.ModuleType("ptls.preprocessing")
    package.__path__ = [f"{spec.submodule_search_locations[0]}/preprocessing"]
    client = types.ModuleType("ptls.preprocessing.dask.dask_client")
    idle = types.SimpleNamespace(client=types.SimpleNamespace(dashboard_link="none"))
    client.DaskServer = lambda: idle  # type: ignore[attr-defined]  # A stand-in module.
    sys.modules |= {package.__name__: package, client.__name__: client}
    from ptls.preprocessing.pandas.pandas_preprocessor import PandasDataPreprocessor

    preprocessor = PandasDataPreprocessor(
        col_id="customer",
        col_event_time="moment",
        event_time_transformation="none",
        cols_category=CATEGORIES,
        cols_numerical=NUMBERS,
        n_jobs=1,
    )
    preprocessor.fit_transform(pd.read_parquet(source))


def beside_others(events: int, place: Path, times: int = 3) -> list[Row]:
    """Two tables by everyone who can, in turn; CPU seconds are the median."""
    source, fields = write_table(place / "table", events), place / "fields"
    synth("alfabattle", fields, events, 0)
    parts, lists = f"{fields}/*_transactions/*.parquet", place / "lists.parquet"
    contenders: dict[tuple[str, str], tuple[Any, ...]] = {
        ("5 columns", "grap_seq"): (prepare_table, source, place / "out"),
        ("5 columns", "DuckDB"): (sql_lists, str(source), "customer", "moment", lists),
        ("5 columns", "ptls"): (ptls_preprocess, source),
        ("18 fields", "grap_seq"): (prepare_fields, fields, place / "out"),
        ("18 fields", "DuckDB"): (sql_lists, parts, "app_id", "days_before", lists),
    }
    found: dict[tuple[str, str], list[Row]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, call in contenders.items():
            found[name].append(alone(*call))
            shutil.rmtree(place / "out", ignore_errors=True)
    shutil.rmtree(place)
    rows: list[Row] = []
    for (table, by), results in found.items():
        row: Row = {"table": table, "by": by, "events": events}
        for what in ("cpu_seconds", "peak_mb"):
            row[what] = statistics.median(result[what] for result in results)
        row["events_per_cpu_second"] = events / row["cpu_seconds"]
        ours = next((r["cpu_seconds"] for r in rows if r["table"] == table), row["cpu_seconds"])
        row["times_ours"] = row["cpu_seconds"] / ours
        rows.append(row)
    return rows


def killed(events: int, place: Path, kills: int = 5) -> Row:
    """Kill a preparation again and again; is the end the same, and is finished work kept?"""
    source, output = place / "raw", place / "out"
    synth("alfabattle", source, events, 0)
    command = [sys.executable, "-m", "grap_seq", "prepare", "dataset=alfabattle"]
    command += [f"source={source}", f"memory_limit={LIMIT}"]
    start = time.perf_counter()
    finish([*command, f"output={place / 'whole'}"])
    whole = time.perf_counter() - start
    chance = random.Random(0)
    partial, moments = output.with_name("out.partial"), list[float]()
    kept: dict[str, int] = {}
    for _ in range(kills):
        process = subprocess.Popen(
            [*command, f"output={output}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        moments.append(chance.uniform(0.2, 0.4) * whole)
        time.sleep(moments[-1])
        if process.poll() is not None:
            moments.pop()
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept |= {
            path.name: path.stat().st_mtime_ns for path in partial.glob("train/part-*.parquet")
        }
    if not output.exists():
        finish([*command, f"output={output}"])
    again = [n for n, at in kept.items() if (output / "train" / n).stat().st_mtime_ns != at]
    same = contents(place / "whole") == contents(output)
    shutil.rmtree(place)
    return {
        "events": events,
        "whole_seconds": whole,
        "killed_after_seconds": moments,
        "same_bytes": same,
        "finished_parts_when_killed": len(kept),
        "of_them_written_again": len(again),
    }


def finish(command: list[str]) -> None:
    """Run to the end; RuntimeError with what it said where that is no success."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def contents(folder: Path) -> dict[str, str]:
    """Checksums by name; the manifest holds those of the other files and all counts."""
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title, title_justify="left", box=MARKDOWN)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*map(cell, row.values()))
    Console(width=160).print(table)


def cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if value > MILLION / 100 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth, and no results file")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--part", choices=["scale", "others", "killed"], help="one of the three")
    arguments = parser.parse_args()
    unit = MILLION // 10 if arguments.quick else MILLION
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        place = Path(name)
        if arguments.part in (None, "others"):
            results["others"] = beside_others(2 * unit, place / "others")
        if arguments.part in (None, "killed"):
            results["killed"] = [killed(12 * unit, place / "killed")]
        if arguments.part in (None, "scale"):
            results["scale"] = [scale(n * unit, place / "scale") for n in (30, 120)]
    for title, rows in results.items():
        show(rows, title)
    if not arguments.quick:
        earlier = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
        write_json(RESULTS, earlier | results)


if __name__ == "__main__":
    main()
