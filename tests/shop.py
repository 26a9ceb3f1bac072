"""A small table of events with a learnable label, as a user would bring it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SPEC = """\
name: shop
id: customer
time: when
time_unit: day
categorical: [kind]
numerical: {amount: {by: kind}}
label: churned
split: {validation: 0.2, test: 0.2, seed: 1}
"""
# Settings that a run takes from the data, as numbers.
TIMES = ["dataset.max_time_gap=30", "dataset.time_scale=1", "dataset.time_jitter=0.1"]


def purchases(customers: int, seed: int = 0) -> pd.DataFrame:
    """Events of customers; those who churn buy other kinds of things."""
    rng = np.random.default_rng(seed)
    frames = []
    for customer in range(customers):
        churned = customer % 2
        count = int(rng.integers(4, 24))
        kinds = rng.choice(
            ["food", "toys", "books"], count, p=[0.7 - 0.4 * churned, 0.2, 0.1 + 0.4 * churned]
        )
        frames.append(
            pd.DataFrame(
                {
                    "customer": customer,
                    "when": np.cumsum(rng.exponential(1.0, count)),
                    "kind": kinds,
                    "amount": rng.normal(size=count) + (kinds == "toys") * 5,
                    "churned": churned,
                }
            )
        )
    return pd.concat(frames)


def write_shop(folder: Path, customers: int = 80) -> Path:
    """Write events.csv and its description; returns the table's path."""
    purchases(customers).to_csv(folder / "events.csv", index=False)
    (folder / "events.yaml").write_text(SPEC)
    return folder / "events.csv"
