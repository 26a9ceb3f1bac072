"""The loader alone: events per CPU second of making batches, this commit beside another.

Artificial data like Churn's and AlfaBattle's, 32 sequences a batch, 5 sub-sequences of each, one
thread; batches are handed out in turn. Padding is that of the rectangles, for encoders that read
those. Ratios are medians, with quartiles, over batches next to each other.

    git worktree add ../old 3f8384e
    python benchmarks/loader_speed.py --against ../old
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.in_turn import (
    DATA,
    HERE,
    Case,
    Worker,
    commit,
    prepared,
    quartiles,
    spread,
    take_turns,
)
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results" / "loader_speed.json"


def rate(answer: dict[str, float]) -> float:
    """Events per CPU second."""
    return answer["events"] / answer["data"]


def measure(dataset: str, folder: Path, against: Path | None, steps: int) -> dict[str, Any]:
    """A row of the results."""
    # A narrow module that is never trained.
    case = Case(dataset, "gru", 8)
    checkouts = [HERE] if against is None else [HERE, against]
    workers = [Worker(checkout, folder, case) for checkout in checkouts]
    answers = take_turns(workers, "fetch", steps)
    for worker in workers:
        worker.close()
    row: dict[str, Any] = {"data": dataset, "batches": steps, **figures(answers[0])}
    if against is not None:
        pairs = zip(*answers, strict=True)
        row["rate_over_other"] = quartiles([rate(ours) / rate(other) for ours, other in pairs])
        row["other"] = figures(answers[1])
    return row


def figures(answers: list[dict[str, float]]) -> dict[str, float]:
    """Medians over batches."""
    return {
        "events_per_cpu_second": statistics.median(rate(one) for one in answers),
        "padding": statistics.median(one["padding"] for one in answers),
        "events": statistics.median(one["events"] for one in answers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100, help="batches")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    options = parser.parse_args()
    rows = []
    for dataset in DATA:
        with tempfile.TemporaryDirectory() as name:
            folder = prepared(dataset, Path(name))
            rows.append(measure(dataset, folder, options.against, options.steps))
    table = Table(box=MARKDOWN)
    for title in ("data", "events/CPU s", "padding", "other", "its padding", "÷ other"):
        table.add_column(title, justify="right")
    for row in rows:
        cells = [row["data"], f"{row['events_per_cpu_second']:,.0f}", f"{row['padding']:.1%}"]
        if options.against is not None:
            other = row["other"]
            cells += [f"{other['events_per_cpu_second']:,.0f}", f"{other['padding']:.1%}"]
            cells.append(spread(row["rate_over_other"]))
        table.add_row(*cells)
    Console(width=120).print(table)
    about = {"commit": commit(HERE)}
    if options.against is not None:
        about["against"] = commit(options.against)
    write_json(RESULTS, about | {"rows": rows})


if __name__ == "__main__":
    main()
