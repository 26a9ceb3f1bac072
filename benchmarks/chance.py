"""Paired t tests of tables against their references: how many there are, and which are below 5 %.

Of so many tests one in twenty is below 5 % where nothing differs. What several pages compare, the
same scores of the same runs, is counted once.

    python benchmarks/chance.py results/flights*/*_runs.parquet results/movielens*/*_runs.parquet
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from scipy import stats

from grap_seq.experiments.tables import REFERENCES

LEVEL = 0.05
SCORES = {"test_embedding": "embedding", "test_both": "beside aggregates"}


def tests(path: Path) -> Iterator[tuple[tuple[str, ...], str, float]]:
    """What is compared in a page's file and every difference; both in words; the p value."""
    found = re.match(r"table_([^_]+)", path.name)
    reference = REFERENCES.get(found[1] if found else "", "equal")
    runs = pd.read_parquet(path)
    for names, part in runs.groupby(["dataset", "encoder"]):
        dataset, encoder = map(str, names)
        for column, name in SCORES.items():
            scores = part.pivot_table(index="seed", columns="method", values=column)
            for method in (str(name) for name in scores.columns if name != reference):
                gaps = (scores[method] - scores[reference]).dropna()
                if len(gaps) > 1 and gaps.nunique() > 1:
                    compared = f"{dataset}, {encoder}, {method} - {reference}, {name}"
                    text = f"{path}: {compared}: {gaps.mean():+.4f} ± {stats.sem(gaps):.4f}"
                    p = float(stats.ttest_1samp(gaps, 0.0).pvalue)
                    yield (compared, *map(str, gaps)), f"{text} ({len(gaps)})", p


def main(arguments: list[str] | None = None) -> int:
    """Print the count and the low ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    known: dict[tuple[str, ...], tuple[str, float]] = {}
    for path in parser.parse_args(arguments).runs:
        for same, text, p in tests(path):
            known.setdefault(same, (text, p))
    low = [(text, p) for text, p in known.values() if p < LEVEL]
    print(f"{len(known)} tests, {len(low)} below {LEVEL:.0%}")
    for text, p in low:
        print(f"p = {p:.3f}  {text}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
