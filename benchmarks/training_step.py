"""A training step: events per CPU second, GraP beside equal weights, this commit beside another.

GRU and HT-Transformer (128 x 4) on artificial data like Churn's (6 fields, about 100 events a
sequence) and AlfaBattle's (18 fields, about 230), 32 sequences a batch, 5 sub-sequences of each as
in the paper, one thread. Steps are handed out in turn to a process for each weighting and commit.
Events are real ones, no padding; their CPU seconds include the making of the batch. Ratios are
medians, with quartiles, over steps next to each other. The share of a product is how many
floating-point operations of matrix products the step does in a CPU second, without the making of
the batch, divided by those of one large float32 product in the same run.

    git worktree add ../old 3f8384e
    python benchmarks/training_step.py --against ../old           # each with its own batches
    python benchmarks/training_step.py --against ../old --same    # on the same random ones
    python benchmarks/training_step.py --quick
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
    EXACT,
    HERE,
    Case,
    Precision,
    Worker,
    commit,
    prepared,
    quartiles,
    spread,
    take_turns,
)
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results"
CASES = (
    Case("churn", "gru", 256),
    Case("alfabattle", "gru", 256),
    Case("churn", "gru", 1024),
    Case("churn", "ht_transformer", 128),
)
PARTS = ("data", "encoder", "heads", "backward", "optimiser")
MEMORY_STEPS = 3
# Freed tensors go back to the system at once: what stays is not for the allocator to choose.
MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}
QUICK_STEPS = 4
QUICK_KEYS = (
    *("data", "encoder", "hidden", "weighting"),
    *("events_per_cpu_second", "share_of_product"),
)
Answers = list[dict[str, float]]


def precision(options: argparse.Namespace) -> Precision:
    """Of this commit's steps; the other one's are exact."""
    return Precision(options.precision, options.matmul_precision)


def rate(answer: dict[str, float]) -> float:
    """Events per CPU second."""
    return answer["events"] / (answer["data"] + answer["step"])


def speed(folder: Path, case: Case, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for equal weights and one for GraP, the other commit's GraP beside it."""
    workers = {
        name: Worker(HERE, folder, case, name, precision=precision(options), same=options.same)
        for name in ("equal", "grap")
    }
    if options.against is not None:
        workers["other"] = Worker(options.against, folder, case, same=options.same)
    # GraP is in the middle, next to both that it is compared with.
    taken = take_turns(list(workers.values()), "step", options.steps, options.warm)
    answers = dict(zip(workers, taken, strict=True))
    rows = []
    for name in ("equal", "grap"):
        row = figures(answers[name])
        product = workers[name].ask("product", 10)
        number = options.warm + options.steps - 1
        operations = workers[name].ask("operations", number) / answers[name][-1]["events"]
        each = [operations * one["events"] / one["step"] / product for one in answers[name]]
        row["share_of_product"] = statistics.median(each)
        row["product_gflops"] = product / 1e9
        row["step_gflops"] = row["share_of_product"] * product / 1e9
        rows.append({**case._asdict(), "weighting": name, **row})
    pairs = zip(answers["grap"], answers["equal"], strict=True)
    rows[1]["seconds_over_equal"] = quartiles([a["step"] / b["step"] for a, b in pairs])
    if "other" in answers:
        pairs = zip(answers["grap"], answers["other"], strict=True)
        rows[1]["rate_over_other"] = quartiles([rate(a) / rate(b) for a, b in pairs])
        rows[1]["other"] = figures(answers["other"])
    for worker in workers.values():
        worker.close()
    return rows


def figures(answers: Answers) -> dict[str, Any]:
    """Medians over steps."""
    whole = sum(one["data"] + one["step"] for one in answers)
    return {
        "events_per_cpu_second": statistics.median(rate(one) for one in answers),
        "milliseconds": 1e3 * statistics.median(one["data"] + one["step"] for one in answers),
        "events": statistics.median(one["events"] for one in answers),
        "shares": {part: sum(one[part] for one in answers) / whole for part in PARTS},
        "steps": len(answers),
    }


def add_memory(
    rows: list[dict[str, Any]], folder: Path, case: Case, options: argparse.Namespace
) -> None:
    """Peak of a process of its own for each row, in MB."""
    for row in rows:
        worker = Worker(
            HERE,
            folder,
            case,
            row["weighting"],
            precision=precision(options),
            environment=MEMORY_ENVIRONMENT,
        )
        peak = worker.ask("memory", MEMORY_STEPS)
        worker.close()
        row["peak_megabytes"], row["step_megabytes"] = peak["peak"] / 1e6, peak["step"] / 1e6
    equal, grap = rows
    for key in ("peak", "step"):
        grap[f"{key}_memory_over_equal"] = grap[f"{key}_megabytes"] / equal[f"{key}_megabytes"]


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=MARKDOWN)
    titles = ("case", "events/CPU s", "other", "÷ other", "time ÷ equal", "memory ÷ equal")
    for title in (*titles, "MB", "of product", *PARTS):
        table.add_column(title, justify="right")
    for row in rows:
        other = f"{row['other']['events_per_cpu_second']:,.0f}" if "other" in row else ""
        memory = f"{row['step_memory_over_equal']:.2f}" if "step_memory_over_equal" in row else ""
        table.add_row(
            f"{row['data']} {row['encoder']} {row['hidden']} {row['weighting']}",
            f"{row['events_per_cpu_second']:,.0f}",
            other,
            spread(row["rate_over_other"]) if other else "",
            spread(row["seconds_over_equal"]) if "seconds_over_equal" in row else "",
            memory,
            f"{row['peak_megabytes']:,.0f}" if "peak_megabytes" in row else "",
            f"{row['share_of_product']:.2f}",
            *(f"{row['shares'][part]:.0%}" for part in PARTS),
        )
    Console(width=200).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=2, help="steps before those")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument(
        "--same", action="store_true", help="the same random batches for both, not each one's own"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps, this checkout alone")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument(
        "--matmul-precision", choices=("highest", "high", "medium"), default="highest"
    )
    parser.add_argument(
        "--cases", type=int, nargs="+", default=range(len(CASES)), help="which of the 4"
    )
    options = parser.parse_args()
    if options.quick:
        options.steps, options.warm, options.against = QUICK_STEPS, 1, None
    rows = []
    with tempfile.TemporaryDirectory() as root:
        cases = [CASES[index] for index in options.cases]
        folders = {data: prepared(data, Path(root) / data) for data in {c.data for c in cases}}
        for case in cases:
            added = speed(folders[case.data], case, options)
            if not options.quick:
                add_memory(added, folders[case.data], case, options)
            rows += added
    show(rows)
    exact = precision(options) == EXACT
    name = "training_step" if exact else "_".join(["training_step", *precision(options)])
    if options.same:
        name += "_same"
    if options.quick:
        quick = [{key: row[key] for key in QUICK_KEYS} for row in rows]
        write_json(RESULTS / f"{name}_quick.json", quick)
        return
    about = {
        "commit": commit(HERE),
        "precision": options.precision,
        "matmul_precision": options.matmul_precision,
    }
    if options.against is not None:
        about["against"] = commit(options.against)
    write_json(RESULTS / f"{name}.json", about | {"rows": rows})


if __name__ == "__main__":
    main()
