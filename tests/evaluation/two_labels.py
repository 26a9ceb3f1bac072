"""Runs that predict: one that losses trained, with stored classifiers, and two that labels did."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from grap_seq import commands
from grap_seq.prep.prepare import prepare
from tests.shop import SPEC, purchases

SMALL = [
    *("dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", "batch_size=16"),
    *("select=last", "epochs=1"),
]
FEW = "{n_estimators: 6, learning_rate: 0.2, min_data_in_leaf: 3}"
EVALUATE = ["threads=1", f"boosting={{binary: {FEW}, regression: {FEW}}}", "store=true"]


def events() -> pd.DataFrame:
    """Customers with two labels: whether they churn, and how many toys they bought."""
    found = purchases(100)
    toys = (found["kind"] == "toys").groupby(found["customer"]).sum()
    return found.assign(toys=100.0 + 7.0 * found["customer"].map(toys))


def train(folder: Path) -> dict[str, Path]:
    """One that losses trained, with stored classifiers; and two that a label trained."""
    events().to_csv(folder / "events.csv", index=False)
    spec = yaml.safe_load(SPEC) | {"label": ["churned", "toys"], "metric": {"toys": "mae"}}
    (folder / "events.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    prepare("table", folder / "prepared", source=folder / "events.csv")
    base = [*SMALL, f"prepared={folder / 'prepared'}"]
    commands.pretrain([*base, f"run={folder / 'pretrained'}"])
    for name, more in (("churned", "head_hidden=5"), ("toys", "lr=0.02")):
        chosen = ["mode=supervised", f"labels.name={name}", "epochs=3", more]
        commands.pretrain([*base, *chosen, f"run={folder / name}"])
    commands.embed([f"run={folder / 'pretrained'}"])
    commands.evaluate([f"run={folder / 'pretrained'}", "folds=0", *EVALUATE])
    names = ("prepared", "pretrained", "churned", "toys")
    return {name: folder / name for name in names}
