"""Artificial ratings in the three files of ml-100k.

Women and men rate films of other genres. Quirks kept: rows in no order, several ratings within one
second, titles in Latin-1, a film without a year.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths

MEAN_LENGTH = 106.0
FILMS, GENRES = 300, 19
DRAMA, ROMANCE, ACTION, WAR = 8, 14, 1, 17
START = 874_724_710  # Seconds since 1970: 20 September 1997.


def write(output: Path, rows: int, seed: int) -> None:
    """u.data, u.user and u.item."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    female = generator.random(len(sizes)) < 0.3
    flags = _flags(generator)
    users = pd.DataFrame(
        {
            "user": np.arange(len(sizes)) + 1,
            "age": generator.integers(7, 74, len(sizes)),
            "gender": np.where(female, "F", "M"),
            "occupation": "other",
            "zip": "00000",
        }
    )
    users.to_csv(output / "u.user", sep="|", header=False, index=False)
    _write_films(output / "u.item", flags, generator)
    with (output / "u.data").open("w", encoding="ascii", newline="") as file:
        for frame in _ratings(sizes, female, flags, generator):
            frame.to_csv(file, sep="\t", header=False, index=False, lineterminator="\n")


def _flags(generator: np.random.Generator) -> NDArray[np.bool_]:
    """Genres of each film (films, 19): one to three, the first film's unknown."""
    flags = np.zeros((FILMS, GENRES), dtype=np.bool_)
    for _ in range(3):
        flags[np.arange(FILMS), generator.integers(1, GENRES, FILMS)] = True
    flags[0] = np.arange(GENRES) == 0
    return flags


def _write_films(path: Path, flags: NDArray[np.bool_], generator: np.random.Generator) -> None:
    years = generator.integers(1930, 1999, FILMS)
    with path.open("w", encoding="latin-1", newline="") as file:
        for place, (year, row) in enumerate(zip(years, flags, strict=True)):
            title, date = (f"Fée {place} ({year})", f"01-Jan-{year}") if place else ("unknown", "")
            cells = [str(place + 1), title, date, "", "", *(str(int(flag)) for flag in row)]
            file.write("|".join(cells) + "\n")


def _ratings(
    sizes: NDArray[np.int64],
    female: NDArray[np.bool_],
    flags: NDArray[np.bool_],
    generator: np.random.Generator,
) -> Iterator[pd.DataFrame]:
    popular = 1.0 / np.arange(1, FILMS + 1)
    women = popular * (1 + 4 * flags[:, [DRAMA, ROMANCE]].any(1))
    men = popular * (1 + 4 * flags[:, [ACTION, WAR]].any(1))
    for part in blocks(sizes):
        frames = []
        for user in range(part.start, part.stop):
            shares = women if female[user] else men
            size = int(sizes[user])
            frames.append(
                pd.DataFrame(
                    {
                        "user": user + 1,
                        "item": generator.choice(FILMS, size, p=shares / shares.sum()) + 1,
                        "rating": generator.integers(1, 6, size),
                        "timestamp": START
                        + generator.integers(0, 200 * 86_400)
                        + np.cumsum(generator.integers(0, 2, size) * 20),
                    }
                )
            )
        frame = pd.concat(frames)
        yield frame.iloc[generator.permutation(len(frame))]
