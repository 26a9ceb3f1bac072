"""Scores over seeds: GraP and equal weights on one dataset, trained, embedded and evaluated alike.

Finished runs in `--runs` are not trained again, so an interrupted call can be repeated.

    python benchmarks/seeds.py flights --seeds 3 --folds 5
    python benchmarks/seeds.py physionet2012 --seeds 2
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from grap_seq import cli
from grap_seq.files import write_json

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("embedding", "aggregates", "both")
POOLINGS = ("last", "mean", "max")


def score(run: Path, arguments: argparse.Namespace, weighting: str, seed: int) -> dict[str, Any]:
    """Train, embed and evaluate one run, each only if it has not been done."""
    if not (run / "model.safetensors").is_file():
        names = [f"dataset={arguments.dataset}", f"weighting={weighting}", f"seed={seed}"]
        cli.pretrain([*names, f"run={run}", f"prepared={arguments.prepared}", "overwrite=true"])
    if not (run / "embeddings" / "test.parquet").is_file():
        cli.embed([f"run={run}"])
    if not (run / "evaluation.json").is_file():
        cli.evaluate([f"run={run}", f"evaluation.folds={arguments.folds}"])
    result: dict[str, Any] = json.loads((run / "evaluation.json").read_text("utf-8"))
    row = {name: result["test"][name] for name in COLUMNS}
    row |= {name: result["poolings"][name]["test"] for name in POOLINGS}
    return {"weighting": weighting, "seed": seed, "metric": result["metric"], **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--weightings", nargs="+", default=["grap", "equal"])
    parser.add_argument("--prepared", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    arguments.prepared = arguments.prepared or Path("data") / arguments.dataset
    rows = [
        score(
            arguments.runs / f"{arguments.dataset}_{weighting}_{seed}", arguments, weighting, seed
        )
        for seed in range(arguments.seeds)
        for weighting in arguments.weightings
    ]
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{arguments.dataset}.json", rows)
    table = Table(
        "weighting", *COLUMNS, *POOLINGS, title=f"{arguments.dataset}, {rows[0]['metric']}"
    )
    for weighting in arguments.weightings:
        mine = [row for row in rows if row["weighting"] == weighting]
        cells = []
        for name in (*COLUMNS, *POOLINGS):
            values = [row[name] for row in mine]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3f}{spread}")
        table.add_row(f"{weighting} ({len(mine)} seeds)", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
