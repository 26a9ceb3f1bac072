"""The same table through engine=spark (local[2]) and engine=duckdb (two threads): what Spark costs.

Each is a command of its own; CPU seconds are those of all its processes, the JVM's and Python
workers' included, looked at every 50 ms. Linux only.

    python benchmarks/prepare_spark.py [--events 2000000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.prepare_scale import MILLION, Row, show, write_table

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(session: int) -> dict[int, float]:
    """CPU seconds of every process of a session."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        # Session, user and system time, behind the state (man proc).
        if int(fields[3]) == session:
            found[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def measured(engine: str, source: Path, output: Path) -> Row:
    command = [sys.executable, "-m", "grap_seq", "prepare", "dataset=table", f"source={source}"]
    command += [f"output={output}", f"engine={engine}", "threads=2", "spark.log.level=ERROR"]
    start, cpu = time.perf_counter(), dict[int, float]()
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        cpu |= cpu_of(process.pid)
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"engine={engine} ended with {process.returncode}")
    wall = time.perf_counter() - start
    return {"engine": engine, "cpu_seconds": sum(cpu.values()), "wall_seconds": wall}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=2 * MILLION)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = write_table(place / "table", events)
        rows = [measured(engine, source, place / engine) for engine in ("duckdb", "spark")]
    for row in rows:
        row["events_per_cpu_second"] = events / row["cpu_seconds"]
    show(rows, f"{events:,} events")
    print(f"Spark takes {rows[1]['cpu_seconds'] / rows[0]['cpu_seconds']:.1f} times the CPU.")


if __name__ == "__main__":
    main()
