"""Artificial transactions in the files and columns of the age-group data.

Each age group prefers its own merchant groups and pays other amounts. Quirks kept: the category 0,
whole days without a calendar, several payments a day, unlabelled clients in a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths, write_csv

MEAN_LENGTH = 882.36
GROUPS, DAYS, BINS = 204, 730, 4


def write(output: Path, rows: int, seed: int) -> None:
    """transactions_train.csv with 3 of 5 clients, transactions_test.csv, train_target.csv."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    ids = generator.permutation(len(sizes))
    bins = generator.integers(0, BINS, len(sizes))
    labelled = round(len(sizes) * 0.6)
    for name, part in (("train", slice(0, labelled)), ("test", slice(labelled, None))):
        tables = _tables(ids[part], sizes[part], bins[part], generator)
        write_csv(output / f"transactions_{name}.csv", tables)
    target = pa.table({"client_id": ids[:labelled], "bins": bins[:labelled]})
    write_csv(output / "train_target.csv", [target])


def _tables(
    ids: NDArray[np.int64],
    sizes: NDArray[np.int64],
    bins: NDArray[np.int64],
    generator: np.random.Generator,
) -> Iterator[pa.Table]:
    for part in blocks(sizes):
        group = np.repeat(bins[part], sizes[part])
        total = len(group)
        # Everyone buys from the popular groups, 0 first; a third is typical of the age.
        popular = np.minimum(generator.geometric(0.05, total) - 1, GROUPS - 1)
        typical = generator.integers(0, 5, total) + 10 * (group + 1)
        span = np.repeat(generator.integers(300, DAYS + 1, part.stop - part.start), sizes[part])
        table = pa.table(
            {
                "client_id": np.repeat(ids[part], sizes[part]),
                "trans_date": (generator.random(total) * span).astype(np.int64),
                "small_group": np.where(generator.random(total) < 1 / 3, typical, popular),
                "amount_rur": np.round(
                    generator.lognormal(3.0 + 0.2 * group, 1.2, total) + 0.001, 3
                ),
            }
        )
        yield table.take(generator.permutation(total))
