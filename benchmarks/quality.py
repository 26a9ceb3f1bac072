"""Are the embeddings worth having? Runs over data sets, weightings and seeds, all scored alike.

A run is a weighting, with settings of its own after a colon where wanted. Everything that is
finished is taken as it stands, so an interrupted call can be repeated, and several calls with other
data sets or seeds fill one result. `--inside` leaves the test split alone: folds over training and
validation sequences, by which settings are chosen.

    python benchmarks/quality.py flights physionet2012 movielens --seeds 2
    python benchmarks/quality.py movielens --inside --name pooling \\
        --runs-of grap grap:pooling=last_mean_max
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

from grap_seq import commands
from grap_seq.files import write_json
from grap_seq.onednn import bound_caches

RESULTS = Path(__file__).parent / "results"
ROWS = ("embedding", "aggregates", "both", "untrained", "logistic")
# The published split of PhysioNet is large enough; elsewhere every sequence is scored once.
FOLDS = {"physionet2012": 0}
FRACTION = 0.05
GAPS = (("embedding", "aggregates"), ("both", "aggregates"), ("embedding", "untrained"))
Score = dict[str, Any]


def score(arguments: argparse.Namespace, dataset: str, kind: str, seed: int) -> Score:
    """Train, embed and evaluate one run, each only if it has not been done."""
    name, _, settings = kind.partition(":")
    run = arguments.runs / f"{dataset}_{re.sub(r'[^a-z0-9]+', '_', kind)}_{seed}"
    threads, folder = f"threads={arguments.threads}", arguments.prepared / dataset
    if not (run / "model.safetensors").is_file():
        chosen = [f"dataset={dataset}", f"prepared={folder}", f"weighting={name}", f"seed={seed}"]
        chosen += [f"run={run}", "overwrite=true", f"trainer.{threads}"]
        commands.pretrain([*chosen, *filter(None, settings.split(";"))])
    if not (run / "embeddings" / "train.parquet").is_file():
        commands.embed([f"run={run}", threads])
    output = run / ("inside" if arguments.inside else "evaluation")
    if not (output / "evaluation.json").is_file():
        folds = 5 if arguments.inside else FOLDS.get(dataset, 5)
        asked = [f"run={run}", f"output={output}", f"folds={folds}", "logistic=true", threads]
        asked += ["within=[train,val]"] if arguments.inside else []
        asked += [] if arguments.inside else [f"label_fractions=[{FRACTION}]"]
        commands.evaluate(asked)
    result = json.loads((output / "evaluation.json").read_text("utf-8"))
    metrics = (run / "metrics.csv").read_text("utf-8").splitlines()
    step = metrics[0].split(",").index("step")
    found = {
        "dataset": dataset,
        "run": kind,
        "seed": seed,
        "steps": int(metrics[-1].split(",")[step]),
        **{key: result[key] for key in ("metric", "protocol", "validation")},
        **{key: result["test"][key] for key in ROWS},
    }
    if (curve := result["label_curve"]) is not None:
        found["few_labels"] = {name: mean(of[0]) for name, of in curve["scores"].items()}
    return found


def summary(values: list[float]) -> str:
    """Mean, and deviation over seeds where there are several."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def show(rows: list[Score], title: str) -> None:
    """Print a line for every data set and kind of run."""
    table = Table(Column("data"), Column("run", overflow="fold"), "seeds", title=title)
    for name in (*ROWS, *(f"{first} - {second}" for first, second in GAPS)):
        table.add_column(name)
    table.add_column(f"{FRACTION:.0%} of the labels: embedding - aggregates")
    for dataset, kind in dict.fromkeys((row["dataset"], row["run"]) for row in rows):
        mine = [row for row in rows if (row["dataset"], row["run"]) == (dataset, kind)]
        cells = [summary([row[name] for row in mine]) for name in ROWS]
        for first, second in GAPS:
            cells.append(summary([row[first] - row[second] for row in mine]))
        few = [row["few_labels"] for row in mine if "few_labels" in row]
        gaps = [scores["embedding"] - scores["aggregates"] for scores in few]
        cells.append(summary(gaps) if gaps else "")
        table.add_row(dataset, kind, str(len(mine)), *cells)
    Console(width=180).print(table)


def main() -> None:
    bound_caches()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--runs-of", nargs="+", default=["grap"], help="weightings; settings: grap:epochs=2;lr=1"
    )
    parser.add_argument("--prepared", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1, help="1 makes runs bit-reproducible")
    parser.add_argument("--inside", action="store_true", help="folds over train and val alone")
    parser.add_argument("--name", default="quality", help="of the result file")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    path = RESULTS / f"{arguments.name}.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else []
    rows = {(row["dataset"], row["run"], row["seed"]): row for row in known}
    for dataset in arguments.datasets:
        for seed in seeds:
            for kind in arguments.runs_of:
                rows[dataset, kind, seed] = score(arguments, dataset, kind, seed)
                RESULTS.mkdir(exist_ok=True)
                write_json(path, [rows[key] for key in sorted(rows)])
    show([rows[key] for key in sorted(rows)], arguments.name)


if __name__ == "__main__":
    main()
