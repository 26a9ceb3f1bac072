"""Artificial transactions in the files and columns of the Rosbank data.

Clients who leave take cash at other banks, pay less often by card, and grow quiet. Quirks kept:
card payments without a clock time (00:00:00), missing channel types, rows in no order, and as many
unlabelled clients as labelled ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths, write_csv

MEAN_LENGTH = 98.75
CATEGORIES = np.array(
    [
        *("POS", "DEPOSIT", "C2C_IN", "C2C_OUT", "WD_ATM_ROS"),
        *("WD_ATM_PARTNER", "WD_ATM_OTHER", "BACK_TRX", "CAT", "CASH_ADV"),
    ]
)
STAYING = np.array([60, 8, 5, 5, 10, 3, 3, 3, 2, 1])
LEAVING = np.array([35, 8, 5, 12, 10, 8, 16, 3, 2, 1])
MCC = np.array([5411, 5812, 5814, 5541, 5912, 4111, 5999, 7995, 742, 9402])
CHANNELS = np.array(["type1", "type2", "type3", "type4", "type5", None], dtype=object)
SHARES = [0.5, 0.3, 0.1, 0.05, 0.03, 0.02]


def write(output: Path, rows: int, seed: int) -> None:
    """train.csv.gz (labelled) and test.csv.gz (not), about half of the rows each."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    ids = generator.permutation(len(sizes))
    half = (len(sizes) + 1) // 2
    for name, part in (("train", slice(0, half)), ("test", slice(half, None))):
        tables = _tables(ids[part], sizes[part], generator, labelled=name == "train")
        write_csv(output / f"{name}.csv.gz", tables)


def _tables(
    ids: NDArray[np.int64],
    sizes: NDArray[np.int64],
    generator: np.random.Generator,
    *,
    labelled: bool,
) -> Iterator[pa.Table]:
    for part in blocks(sizes):
        leaving = generator.random(part.stop - part.start) < 0.55
        frame = _transactions(ids[part], sizes[part], leaving, generator)
        if not labelled:
            frame = frame.drop(columns=["target_flag", "target_sum"])
        order = generator.permutation(len(frame))
        yield pa.Table.from_pandas(frame.iloc[order], preserve_index=False)


def _transactions(
    ids: NDArray[np.int64],
    sizes: NDArray[np.int64],
    leaving: NDArray[np.bool_],
    generator: np.random.Generator,
) -> pd.DataFrame:
    left = np.repeat(leaving, sizes)
    total = len(left)
    category = np.where(
        left,
        generator.choice(len(CATEGORIES), total, p=LEAVING / LEAVING.sum()),
        generator.choice(len(CATEGORIES), total, p=STAYING / STAYING.sum()),
    )
    # Shops repeat: each client has a favourite among them.
    favourite = np.repeat(generator.integers(0, len(MCC), len(sizes)), sizes)
    shop = np.where(generator.random(total) < 0.5, favourite, generator.integers(0, 10, total))
    mcc = np.where(category == 0, MCC[shop], 6011)
    day = (generator.random(total) * np.where(left, 80, 100)).astype(np.int64)
    second = np.where(category == 0, 0, generator.integers(0, 86400, total))
    time = pd.Series(np.datetime64("2017-08-01", "s") + day * 86400 + second)
    return pd.DataFrame(
        {
            "PERIOD": time.dt.strftime("01/%m/%Y"),
            "cl_id": np.repeat(ids, sizes),
            "MCC": mcc,
            "channel_type": CHANNELS[
                generator.choice(6, total, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02])
            ],
            "currency": generator.choice([810, 978, 840], total, p=[0.97, 0.02, 0.01]),
            "TRDATETIME": time.dt.strftime("%d%b%y:%H:%M:%S").str.upper(),
            "amount": np.round(np.maximum(0.01, generator.lognormal(6.5, 1.5, total)), 2),
            "trx_category": CATEGORIES[category],
            "target_flag": left.astype(np.int64),
            "target_sum": np.where(left, 0.0, np.repeat(np.round(sizes * 100.5, 2), sizes)),
        }
    )
