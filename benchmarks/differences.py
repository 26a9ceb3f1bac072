"""Paired differences of the runs of a table, from the parquet file beside it.

For pages that were made before tables had them:

    python benchmarks/differences.py results/physionet_ntp_new/table_2_runs.parquet ntp_equal

The second word is the method that the others are compared with; by default equal weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from grap_seq.experiments.difference_sheet import difference_sheet
from grap_seq.experiments.write import markdown


def main(arguments: list[str] | None = None) -> int:
    """Print the sheet; 1 where the file has no finished run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("reference", nargs="?", default="equal")
    options = parser.parse_args(arguments)
    # Early files do not say who began a run.
    runs = pd.read_parquet(options.runs).assign(begun_by=lambda all: all.get("begun_by"))
    sheet = difference_sheet(runs, options.reference)
    if sheet is None:
        return 1
    print(markdown(str(options.runs), f"compared with {options.reference}", [sheet]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
