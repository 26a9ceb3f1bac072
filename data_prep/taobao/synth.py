"""Artificial actions in the file and columns of the Tianchi data.

Some users put things into the cart and buy every week, others only look. Quirks kept: hours, no
order, a third of the rows twice, places missing in 7 of 10 rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths, write_csv

MEAN_LENGTH = 1225.7
CATEGORIES = 300
# Shares of view, favourite, cart and buy.
LOOKING, BUYING = (0.95, 0.03, 0.015, 0.005), (0.6, 0.05, 0.2, 0.15)


def write(output: Path, rows: int, seed: int) -> None:
    """tianchi_mobile_recommend_train_user.csv, 31 days."""
    generator = np.random.default_rng(seed)
    # Each row is there once, a third of them twice.
    sizes = lengths(round(rows * 0.75), MEAN_LENGTH * 0.75, generator)
    ids = generator.permutation(len(sizes) * 10)[: len(sizes)] + 1
    write_csv(output / "tianchi_mobile_recommend_train_user.csv", _tables(ids, sizes, generator))


def _tables(
    ids: NDArray[np.int64], sizes: NDArray[np.int64], generator: np.random.Generator
) -> Iterator[pa.Table]:
    for part in blocks(sizes):
        buying = np.repeat(generator.random(part.stop - part.start) < 0.5, sizes[part])
        total = len(buying)
        behaviour = np.where(
            buying,
            generator.choice(4, total, p=BUYING),
            generator.choice(4, total, p=LOOKING),
        )
        item = np.minimum(generator.zipf(1.3, total), 100_000) + 1000
        hour = np.datetime64("2014-11-18", "h") + generator.integers(0, 31 * 24, total)
        place = pd.Series(["9q5k"] * total).mask(generator.random(total) < 0.7)
        frame = pd.DataFrame(
            {
                "user_id": np.repeat(ids[part], sizes[part]),
                "item_id": item,
                "behavior_type": behaviour + 1,
                "user_geohash": place,
                "item_category": item * 7919 % CATEGORIES,
                "time": pd.Series(hour).dt.strftime("%Y-%m-%d %H"),
            }
        )
        again = frame[generator.random(total) < 1 / 3]
        frame = pd.concat([frame, again])
        order = generator.permutation(len(frame))
        yield pa.Table.from_pandas(frame.iloc[order], preserve_index=False)
