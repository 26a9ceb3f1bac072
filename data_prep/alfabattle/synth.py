"""Artificial transactions in the files and columns of AlfaBattle 2.0.

Those who default pay more often by credit (operations of other kinds), take cash and pay at night.
Quirks kept: parts named by their first and last application, gaps between ids, an hour difference
of -1 at the first transaction, amounts of 0 for missing ones, the index that pandas left behind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths, write_csv

MEAN_LENGTH = 302.48
# Codes of each column, all of them from 1 but the hour's.
CODES = {
    **{"currency": 11, "operation_kind": 7, "card_type": 175, "operation_type": 22},
    **{"operation_type_group": 4, "ecommerce_flag": 3, "payment_system": 7, "income_flag": 3},
    **{"mcc": 107, "country": 24, "city": 168, "mcc_category": 28, "day_of_week": 7},
}
SHARES = np.array([0.52, 0.27, 0.08, 0.07, 0.06])
MIN_PARTS = 2


def write(output: Path, rows: int, seed: int) -> None:
    """train_transactions and test_transactions in parts, train_target.csv; 2 of 3 labelled."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    count = len(sizes)
    ids = np.sort(generator.permutation(count + count // 8)[:count])
    # Far more defaults than the real 2.8 %, so that a small sample has some in every split.
    flags = (generator.random(count) < 0.2).astype(np.int64)
    labelled = round(count * 0.66)
    for name, part in (("train", slice(0, labelled)), ("test", slice(labelled, count))):
        folder = output / f"{name}_transactions"
        folder.mkdir()
        runs = list(blocks(sizes[part]))
        if len(runs) < MIN_PARTS:
            middle = (part.stop - part.start) // 2
            runs = [slice(0, middle), slice(middle, part.stop - part.start)]
        for number, run in enumerate(runs):
            here = slice(part.start + run.start, part.start + run.stop)
            table = _transactions(ids[here], sizes[here], flags[here], generator)
            span = f"{ids[here][0]}_to_{ids[here][-1]}"
            pq.write_table(table, folder / f"part_{number:03d}_{span}.parquet")
    product = generator.choice(5, labelled, p=SHARES)
    target = {"app_id": ids[:labelled], "product": product, "flag": flags[:labelled]}
    write_csv(output / "train_target.csv", [pa.table(target)])


def _transactions(
    ids: NDArray[np.int64],
    sizes: NDArray[np.int64],
    flags: NDArray[np.int64],
    generator: np.random.Generator,
) -> pa.Table:
    flag = np.repeat(flags, sizes) == 1
    total = len(flag)
    first = np.cumsum(sizes) - sizes
    number = np.arange(total) - np.repeat(first, sizes) + 1
    # Hours between transactions; days before the application follow from their sum.
    gap = np.where(number == 1, 0, generator.geometric(0.04, total))
    since = np.cumsum(gap)
    last = np.repeat(since[first + sizes - 1], sizes)
    hour = np.where(flag & (generator.random(total) < 0.4), 2, generator.integers(0, 24, total))
    columns: dict[str, NDArray[np.generic]] = {
        "app_id": np.repeat(ids, sizes),
        "amnt": np.where(generator.random(total) < 0.01, 0.0, generator.beta(2.0, 3.0, total)),
    }
    for name, codes in CODES.items():
        popular = np.minimum(generator.geometric(0.4, total), codes)
        columns[name] = popular.astype(np.int32)
    columns["operation_kind"] = np.where(
        flag & (generator.random(total) < 0.3), 5, columns["operation_kind"]
    ).astype(np.int32)
    columns["hour"] = hour.astype(np.int32)
    columns["days_before"] = ((last - since) // 24).astype(np.int32)
    columns["weekofyear"] = ((last - since) // 168 % 53 + 1).astype(np.int32)
    columns["hour_diff"] = np.where(number == 1, -1, gap)
    columns["transaction_number"] = number.astype(np.int32)
    columns["__index_level_0__"] = np.arange(total)
    return pa.table(columns)
