"""MovieLens-100k as the PyPI package recbole carries it, written back into GroupLens's files.

For machines that reach a package registry but not GroupLens:

    pip download --no-deps recbole && unzip recbole-*.whl 'recbole/dataset_example/ml-100k/*'
    python -m tests.data_prep.recbole recbole/dataset_example/ml-100k FOLDER

u.data comes out byte for byte. u.user lacks nothing; u.item has 1 January as the date of a film and
no addresses, which the recipe does not read.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)
# Of GroupLens's u.data.
SHA256 = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"


def write_back(atomic: Path, output: Path) -> Path:
    """Write u.data, u.user and u.item of ml-100k into a new folder from recbole's atomic files.

    Raises:
        ValueError: the ratings are not those of GroupLens.
    """
    ratings = "".join("\t".join(row) + "\n" for row in _rows(atomic / "ml-100k.inter"))
    if hashlib.sha256(ratings.encode()).hexdigest() != SHA256:
        raise ValueError(f"{atomic} has other ratings than GroupLens's ml-100k; fetch it again")
    users = "".join("|".join(row) + "\n" for row in _rows(atomic / "ml-100k.user"))
    films = "".join(map(_film, _rows(atomic / "ml-100k.item")))
    output.mkdir(parents=True)
    for name, text in (("u.data", ratings), ("u.user", users), ("u.item", films)):
        (output / name).write_bytes(text.encode("latin-1"))
    return output


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        yield from rows


def _film(row: list[str]) -> str:
    item, title, year, genres = row
    named = {name for name in GENRES if name in genres.split()}
    # Two films have no year of four digits: one is unknown, the other's title still holds its year.
    title, date = (f"{title} ({year})", f"01-Jan-{year}") if year.isdigit() else (title, "")
    flags = [str(int(name in named)) for name in GENRES]
    return "|".join([item, title, date, "", "", *flags]) + "\n"


if __name__ == "__main__":
    write_back(Path(sys.argv[1]), Path(sys.argv[2]))
