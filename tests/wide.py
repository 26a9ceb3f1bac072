"""A table with as many fields as one likes, four of five of them categorical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml


def write_wide(folder: Path, fields: int, events: int = 400, unused: int = 0) -> Path:
    """Write events.parquet of 20 clients with its description; returns the table's path.

    Args:
        folder: where to.
        fields: columns that the description names.
        events: rows.
        unused: columns that it does not name.
    """
    random = np.random.default_rng(0)
    clients = np.arange(events) % 20
    numbers = [f"x{place}" for place in range(fields // 5)]
    codes = [f"c{place}" for place in range(fields - len(numbers))]
    columns: dict[str, Any] = {
        "client": clients,
        "when": random.uniform(0, 100, events),
        "y": clients // 2 % 2,
    }
    columns |= {name: random.integers(0, 12, events).astype(str) for name in codes}
    columns |= {name: random.normal(size=events) for name in numbers}
    columns |= {f"unused{place}": random.normal(size=events) for place in range(unused)}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "events.parquet")
    description: dict[str, Any] = {"name": "wide", "id": "client", "time": "when", "label": "y"}
    description |= {"categorical": codes, "numerical": numbers}
    description["split"] = {"validation": 0.2, "test": 0.2, "seed": 1}
    (folder / "events.yaml").write_text(yaml.safe_dump(description), "utf-8")
    return folder / "events.parquet"
