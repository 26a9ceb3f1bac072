"""Memory of a CPU run under each precision, with oneDNN's caches bounded and without.

Every batch has sizes of its own, for each of which oneDNN makes and keeps a program. A process for
each case trains on artificial data like Churn's; what it holds is asked behind every few steps, and
is that of the whole process. The bounds are those of `grap_seq.onednn`. Linux only.

    python benchmarks/precision_memory.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.in_turn import EXACT, HERE, Case, Precision, Worker, prepared
from benchmarks.memory import resident
from grap_seq.files import write_json
from grap_seq.onednn import BOUNDS

RESULTS = Path(__file__).parent / "results" / "precision_memory.json"
CASES = (Case("churn", "gru", 64), Case("churn", "ht_transformer", 32))
PRECISIONS = {
    "highest": EXACT,
    "medium": Precision(products="medium"),
    "bf16-mixed": Precision(training="bf16-mixed"),
}
# What the libraries take without a word.
DEFAULTS = dict.fromkeys(BOUNDS, "1024")
BATCH = 8


def run(
    folder: Path, case: Case, precision: Precision, bounded: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """Megabytes of a process behind every few steps, and its steps' CPU time."""
    worker = Worker(
        HERE,
        folder,
        case,
        precision=precision,
        environment=BOUNDS if bounded else DEFAULTS,
        batch=BATCH,
    )
    megabytes, seconds = [], []
    for number in range(options.steps):
        seconds.append(worker.ask("step", number)["step"])
        if (number + 1) % options.every == 0:
            megabytes.append(resident("VmRSS", worker.process.pid) / 1e6)
    worker.close()
    return {"megabytes": megabytes, "step_milliseconds": 1e3 * median(seconds)}


def show(rows: list[dict[str, Any]], every: int) -> None:
    steps = [every * (index + 1) for index in range(len(rows[0]["megabytes"]))]
    table = Table(box=MARKDOWN)
    table.add_column("case")
    # A few columns are enough to see whether it grows.
    shown = [*range(0, len(steps), max(1, len(steps) // 5))]
    for title in ("CPU ms a step", *(f"MB at {steps[index]}" for index in shown)):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            f"{row['encoder']} {row['hidden']}, {row['precision']}"
            f"{', bounded' if row['bounded'] else ''}",
            f"{row['step_milliseconds']:.0f}",
            *(f"{row['megabytes'][index]:,.0f}" for index in shown),
        )
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=20, help="steps between two looks")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as root:
        folder = prepared("churn", Path(root))
        jobs = [
            (case, name, bounded)
            for case in CASES
            for name in PRECISIONS
            for bounded in (False, True)
        ]
        for case, name, bounded in track(jobs, "runs"):
            row = {**case._asdict(), "precision": name, "bounded": bounded}
            rows.append(row | run(folder, case, PRECISIONS[name], bounded, options))
    about = {"steps": options.steps, "every": options.every, "batch": BATCH, "bounds": BOUNDS}
    write_json(RESULTS, about | {"rows": rows})
    show(rows, options.every)


if __name__ == "__main__":
    main()
