"""Artificial churn where leavers simply stop: can embeddings and aggregates see it?

All customers behave alike; those who left did so some time before the cut-off, and their whole
history lies that much earlier. So nothing but the time since the last event tells them apart.
Prepared with `until` and without, pretrained, embedded and evaluated; what is finished in
`--folder` is not done again.

    python benchmarks/recency.py --folder runs/recency
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from grap_seq import commands
from grap_seq.onednn import bound_caches

UNTIL = "2024-01-01"
SPEC = """\
name: leavers
id: customer
time: bought
time_unit: day
categorical: [kind]
numerical: {amount: {log: true}}
label: left
split: {validation: 0.15, test: 0.3, seed: 1}
"""


def leavers(customers: int, seed: int = 0) -> pd.DataFrame:
    """Purchases of customers, every second of whom left 60 to 400 days before `UNTIL`.

    Gaps are exponential with a mean of each customer's own, mostly 1 to 8 days; the last gap of
    those who stay is one as well.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for customer in range(customers):
        left = customer % 2
        mean = rng.lognormal(1.0, 0.5)
        gaps = rng.exponential(mean, int(rng.integers(5, 60)))
        ago = gaps[::-1].cumsum()[::-1] + left * rng.uniform(60, 400)
        bought = pd.Timestamp(UNTIL) - pd.to_timedelta(ago, unit="D")
        frames.append(
            pd.DataFrame(
                {
                    "customer": customer,
                    "bought": bought.floor("s"),
                    "kind": rng.choice(["food", "toys", "books"], len(gaps), p=[0.6, 0.3, 0.1]),
                    "amount": rng.lognormal(3.0, 1.0, len(gaps)).round(2),
                    "left": left,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def write(folder: Path, customers: int, until: str | None, seed: int = 0) -> Path:
    """events.parquet and its description; returns the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    leavers(customers, seed).to_parquet(folder / "events.parquet")
    line = "" if until is None else f"until: {until}\n"
    (folder / "events.yaml").write_text(SPEC + line, "utf-8")
    return folder / "events.parquet"


def score(folder: Path, customers: int, until: str | None, settings: list[str]) -> dict[str, float]:
    """Test AUC by feature set."""
    prepared, run = folder / "prepared", folder / "run"
    if not (prepared / "manifest.json").is_file():
        source = write(folder, customers, until)
        commands.prepare(["dataset=table", f"source={source}", f"output={prepared}", "threads=1"])
    if not (run / "model.safetensors").is_file():
        chosen = ["dataset=table", f"prepared={prepared}", f"run={run}", "overwrite=true"]
        commands.pretrain([*chosen, "trainer.threads=1", *settings])
    if not (run / "evaluation.json").is_file():
        commands.embed([f"run={run}", "threads=1"])
        commands.evaluate([f"run={run}", "threads=1"])
    content = json.loads((run / "evaluation.json").read_text("utf-8"))
    return dict(content["test"])


def main() -> None:
    bound_caches()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/recency"))
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("settings", nargs="*", help="of pretrain, such as epochs=2")
    arguments = parser.parse_args()
    table = Table("until", "embedding", "aggregates", "both", title="Leavers, test AUC")
    for name, until in (("none", None), (UNTIL, UNTIL)):
        found = score(arguments.folder / name, arguments.customers, until, arguments.settings)
        table.add_row(name, *(f"{found[key]:.3f}" for key in ("embedding", "aggregates", "both")))
    Console().print(table)


if __name__ == "__main__":
    main()
