"""A run on a random table with two fields, for figures that learning does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import grap_seq


def random_events(sequences: int, length: int) -> pd.DataFrame:
    """A random table with an event a day."""
    rng, rows = np.random.default_rng(0), sequences * length
    return pd.DataFrame(
        {
            "customer": np.repeat(np.arange(sequences), length),
            "when": np.tile(np.arange(length), sequences) + rng.random(rows) / 2,
            "kind": rng.choice(list("abcdefgh"), rows),
            "amount": rng.normal(size=rows),
        }
    )


def small_run(folder: Path) -> grap_seq.Run:
    """A GRU of 128 units, trained for one epoch on 200 sequences of 50 events, by one thread."""
    prepared = grap_seq.prepare(
        random_events(200, 50),
        folder / "prepared",
        id="customer",
        time="when",
        time_unit="day",
        categorical=["kind"],
        numerical=["amount"],
    )
    small: dict[str, Any] = {"epochs": 1, "encoder": {"hidden": 128}, "trainer": {"threads": 1}}
    return grap_seq.pretrain(prepared, run=folder / "run", **small)
