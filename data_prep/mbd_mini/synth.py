"""Artificial transactions and monthly targets in the files and columns of MBD mini.

A client in need of money (for 75 days, or never) pays to accounts of another kind, and the months
after such days more often see a credit: the answer changes within a client. Quirks kept: five
folds, lists a field, noised amounts of both signs, clients without some months or without any,
clients that come during the year, targets of clients without transactions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths

MEAN_LENGTH = 372.0
FOLDS = 5
CODES = {
    **{"event_type": 53, "event_subtype": 60, "currency": 15, "src_type11": 75, "src_type12": 524},
    **{"dst_type11": 131, "dst_type12": 819, "src_type21": 12_000, "src_type22": 86},
    **{"src_type31": 2493, "src_type32": 86},
}
PRODUCTS = ("target_1", "target_2", "target_3", "target_4")
# Moscow's midnights of 2022-01-01 and 2023-01-01 in epoch seconds.
START, END, DAY = 1_640_984_400, 1_672_520_400, 86_400
NEED, NEEDY_CODE = 75 * DAY, 40
MONTHS = pd.period_range("2022-02", "2023-01", freq="M")


def write(output: Path, rows: int, seed: int) -> None:
    """ptls/trx/fold=K and targets/fold=K, parts of whole clients."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    for number, block in enumerate(blocks(sizes)):
        for fold in range(FOLDS):
            part = sizes[block][fold::FOLDS]
            names = [generator.bytes(32).hex() for _ in part]
            # When the need begins: for one half of the clients during the year, else never.
            need = generator.integers(START - NEED, END, len(part))
            need = np.where(generator.random(len(part)) < 0.5, need, END + NEED)
            first = START + (generator.random(len(part)) * 0.3 * (END - START)).astype(np.int64)
            trx = _transactions(names, part, first, need, generator)
            for table, folder in (
                (trx, "ptls/trx"),
                (_targets(names, need, generator), "targets"),
            ):
                place = output / folder / f"fold={fold}"
                place.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, place / f"part-{number:05d}.snappy.parquet")


def _transactions(
    names: list[str],
    sizes: NDArray[np.int64],
    first: NDArray[np.int64],
    need: NDArray[np.int64],
    generator: np.random.Generator,
) -> pa.Table:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    time = first[owner] + (generator.random(len(owner)) * (END - first[owner])).astype(np.int64)
    time = time[np.lexsort((time, owner))]
    needy = (time >= need[owner]) & (time < need[owner] + NEED)
    amount = generator.lognormal(8.0, 2.0, len(owner)) + generator.normal(0.0, 100.0, len(owner))
    columns: dict[str, NDArray[Any]] = {"event_time": time, "amount": amount.astype(np.float32)}
    for name, codes in CODES.items():
        popular = np.minimum(generator.geometric(0.1, len(owner)), codes)
        columns[name] = popular.astype(np.int32)
    pays = needy & (generator.random(len(owner)) < 0.6)
    columns["dst_type11"] = np.where(pays, NEEDY_CODE, columns["dst_type11"]).astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    lists = {
        name: pa.ListArray.from_arrays(offsets, pa.array(values))
        for name, values in columns.items()
    }
    return pa.table({"client_id": names, **lists})


def _targets(names: list[str], need: NDArray[np.int64], generator: np.random.Generator) -> pa.Table:
    """A row a client and month, a few of them missing; some clients have none."""
    silent = [generator.bytes(32).hex() for _ in range(max(1, len(names) // 50))]
    owners = np.arange(len(names) + len(silent))
    known = np.concatenate([need, np.full(len(silent), END + NEED)])
    listed = owners[generator.random(len(owners)) > 0.02]
    owner = np.repeat(listed, len(MONTHS))
    month = np.tile(np.arange(len(MONTHS)), len(listed))
    # Seconds from the beginning of need to the first moment of the month.
    since = START + (MONTHS.start_time - MONTHS[0].start_time).days.to_numpy()[month] * DAY
    since = since + 31 * DAY - known[owner]
    chance = np.where((since > 10 * DAY) & (since < NEED + 10 * DAY), 0.7, 0.04)
    frame = pd.DataFrame(
        {
            "client_id": np.array([*names, *silent])[owner],
            "mon": MONTHS.end_time.strftime("%Y-%m-%d").to_numpy()[month],
            **{name: (generator.random(len(owner)) < 0.1).astype(np.int32) for name in PRODUCTS},
            "is_balanced": (generator.random(len(owner)) < 0.5).astype(np.int32),
            "trans_count": generator.integers(0, 100, len(owner)),
            "diff_trans_date": generator.integers(0, 30, len(owner)),
        }
    )
    frame["target_2"] = (generator.random(len(owner)) < chance).astype(np.int32)
    kept = frame[generator.random(len(frame)) > 0.03]
    return pa.Table.from_pandas(kept, preserve_index=False)
