"""Artificial raw files of a named dataset, for tests, trials and measurements of scale.

A recipe's folder may hold synth.py with `write(output, rows, seed)`: the exact raw schema with its
quirks, and a label that depends on the events. Rows are made block by block, so that their number
is not limited by memory.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from grap_seq.names import nearest
from grap_seq.prep.describe.recipes import load
from grap_seq.resources import folder

MIN_ROWS, FEW_SEQUENCES = 500, 400
ROWS_PER_BLOCK = 200_000


def synth(dataset: str, output: Path, rows: int, seed: int) -> Path:
    """Write raw files with about `rows` events into a new folder.

    Raises:
        ValueError: no generator for this dataset, or too few rows.
        FileExistsError: `output` holds something already.
    """
    paths = {path.parent.name: path for path in folder("data_prep").glob("*/synth.py")}
    if dataset not in paths:
        raise ValueError(f"no artificial data for dataset '{dataset}'; {nearest(dataset, paths)}")
    if rows < MIN_ROWS:
        raise ValueError(f"rows={rows}: give at least {MIN_ROWS}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists; choose another output=")
    output.mkdir(parents=True, exist_ok=True)
    load(f"grap_seq_synth_{dataset}", paths[dataset]).write(output, rows, seed)
    return output


def lengths(rows: int, mean: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Events of each sequence, about `rows` together.

    The number of sequences follows the real mean length; where that would leave fewer than 400,
    they are shorter instead (down to 10 events): splits and labels need sequences.
    """
    count = max(round(rows / mean), min(FEW_SEQUENCES, rows // 10))
    spread = generator.gamma(4.0, rows / count / 4.0, count)
    sizes: NDArray[np.int64] = np.maximum(2, np.rint(spread)).astype(np.int64)
    return sizes


def blocks(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Runs of whole sequences with about 200,000 events each."""
    place = (np.cumsum(sizes) - sizes) // ROWS_PER_BLOCK
    edges = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(sizes)]
    for first, end in itertools.pairwise(edges):
        yield slice(first, end)


def write_csv(path: Path, tables: Iterable[pa.Table]) -> None:
    """One CSV file from many tables, compressed where the name ends with .gz."""
    # Without a time in the gzip header the same seed gives the same bytes.
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, raw, 0) as file:
                _write(cast(IO[bytes], file), tables)
        else:
            _write(raw, tables)


def _write(file: IO[bytes], tables: Iterable[pa.Table]) -> None:
    for place, table in enumerate(tables):
        if not place:
            file.write((",".join(table.column_names) + "\n").encode())
        options = csv.WriteOptions(include_header=False, quoting_style="needed")
        csv.write_csv(table, file, options)
