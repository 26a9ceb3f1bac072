"""Whether the times of a prepared folder can be in the unit that its description says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grap_seq.prep.describe.spec_parts import SECONDS
from grap_seq.schema import TIME, TimeUnit

YEAR = 365.25 * SECONDS["day"]
# A longer median gap, in seconds, is no history of customers, patients or machines.
LONGEST = 10 * YEAR
SEQUENCES = 2000


def doubtful(median: float, unit: TimeUnit) -> str | None:
    """What to say about a median gap that a wrong unit of time would give; None: nothing."""
    if median * SECONDS[unit] <= LONGEST:
        return None
    years = median * SECONDS[unit] / YEAR
    return (
        f"the median time between events is {years:,.0f} years; time_unit: {unit} in the "
        "description is probably wrong"
    )


def median_gap(folder: Path) -> float:
    """Median of the gaps above zero in the first training sequences that have any.

    Returns:
        In its unit of time; 0 where there are none.
    """
    # Sequences come in the order of a hash, so those of one part are as good as any.
    for path in sorted((folder / "train").glob("part-*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(SEQUENCES, columns=[TIME]):
            owners = pc.list_parent_indices(batch[TIME]).to_numpy()
            gaps = np.diff(pc.list_flatten(batch[TIME]).to_numpy())[np.diff(owners) == 0]
            if (gaps > 0).any():
                return float(np.median(gaps[gaps > 0]))
    return 0.0
