"""Scores over seeds: runs of one dataset, trained, embedded and evaluated alike.

A run is a weighting, with settings of its own after a colon where wanted. Finished runs in
`--runs` are not trained again, so an interrupted call can be repeated. The table goes to
benchmarks/results/NAME.json too, with the spread over seeds; NAME is the dataset by default.

    python benchmarks/seeds.py flights --seeds 3 --folds 5
    python benchmarks/seeds.py physionet2012 --seeds 2
    python benchmarks/seeds.py flights --seeds 2 --folds 5 --name grap_options \\
        --weightings grap grap:weighting.units=gradient grap:weighting.smoothing=0.9
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from grap_seq import cli
from grap_seq.files import write_json
from grap_seq.onednn import bound_caches

RESULTS = Path(__file__).parent / "results"
SCORES = ("embedding", "aggregates", "both", "untrained", "last", "mean", "max")


def score(arguments: argparse.Namespace, weighting: str, seed: int) -> dict[str, Any]:
    """Train, embed and evaluate one run, each only if it has not been done."""
    run = arguments.runs / f"{arguments.dataset}_{re.sub(r'[^a-z0-9]+', '_', weighting)}_{seed}"
    name, _, settings = weighting.partition(":")
    threads = f"threads={arguments.threads}"
    if not (run / "model.safetensors").is_file():
        chosen = [f"dataset={arguments.dataset}", f"weighting={name}", f"seed={seed}"]
        chosen += [f"run={run}", f"prepared={arguments.prepared}", "overwrite=true"]
        cli.pretrain([*chosen, f"trainer.{threads}", *filter(None, settings.split(","))])
    if not (run / "embeddings" / "test.parquet").is_file():
        cli.embed([f"run={run}", threads])
    if not (run / "evaluation.json").is_file():
        cli.evaluate([f"run={run}", f"folds={arguments.folds}", "poolings=true", threads])
    result: dict[str, Any] = json.loads((run / "evaluation.json").read_text("utf-8"))
    scores = result["test"] | {key: pooled["test"] for key, pooled in result["poolings"].items()}
    about = {"weighting": weighting, "seed": seed, "metric": result["metric"]}
    return about | {"protocol": result["protocol"], "validation": result["validation"], **scores}


def summary(values: list[float]) -> str:
    """Mean, and deviation over seeds where there are several."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def main() -> None:
    bound_caches()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--weightings", nargs="+", default=["grap", "equal"])
    parser.add_argument("--prepared", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1, help="1 makes runs bit-reproducible")
    parser.add_argument("--name", help="of the result file")
    arguments = parser.parse_args()
    arguments.prepared = arguments.prepared or Path("data") / arguments.dataset
    rows = [
        score(arguments, weighting, seed)
        for seed in range(arguments.seeds)
        for weighting in arguments.weightings
    ]
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{arguments.name or arguments.dataset}.json", rows)
    title = f"{arguments.dataset}, {rows[0]['metric']}, {rows[0]['protocol']}"
    scores = [name for name in SCORES if all(name in row for row in rows)]
    table = Table(Column("weighting", overflow="fold"), "seeds", *scores, title=title)
    for weighting in arguments.weightings:
        mine = [row for row in rows if row["weighting"] == weighting]
        cells = (summary([row[name] for row in mine]) for name in scores)
        table.add_row(weighting, str(len(mine)), *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
