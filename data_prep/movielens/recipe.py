"""MovieLens: the ratings of a user in time, with each film's genres and year; labelled by gender.

GroupLens's own files of ml-100k (u.data, u.user, u.item) or ml-1m (ratings.dat, users.dat,
movies.dat), as the archive or unpacked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv as csv

from grap_seq.prep.read.archives import content

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)
RATING = ("user", "item", "rating", "timestamp")


class Table(NamedTuple):
    """A file of an edition: its name, what separates the columns, and their names."""

    file: str
    separator: str
    columns: tuple[str, ...]


EDITIONS = {
    "ml-100k": {
        "ratings": Table("u.data", "\t", RATING),
        "users": Table("u.user", "|", ("user", "age", "gender", "occupation", "zip")),
        "films": Table("u.item", "|", ("item", "title", "released", "video", "url", *GENRES)),
    },
    "ml-1m": {
        "ratings": Table("ratings.dat", "::", RATING),
        "users": Table("users.dat", "::", ("user", "gender", "age", "occupation", "zip")),
        "films": Table("movies.dat", "::", ("item", "title", "genres")),
    },
}
WHOLE = ("user", "item", "rating", "timestamp", "age")
# Last age of each group, as ml-1m has them: it gives the first age of a group instead of the age.
LAST_AGES = (17, 24, 34, 44, 49, 55)
AGE_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
YEAR = re.compile(r"\((\d{4})\)")
REMEDY = (
    "fetch the files with `grap-seq download dataset=movielens output=FOLDER` and pass "
    "source=FOLDER/ml-100k.zip or source=FOLDER/ml-1m.zip"
)


def files(source: Path | None) -> list[Path]:
    """The archive of an edition, or the three files in its folder."""
    place, name = _find(source)
    if place.is_file():
        return [place]
    return [place / table.file for table in EDITIONS[name].values()]


def edition(source: Path | None) -> str:
    """Which edition the source holds."""
    return _find(source)[1]


def _find(source: Path | None) -> tuple[Path, str]:
    """The archive or the folder with the files, and the name of the edition."""
    if source is None:
        raise ValueError(f"dataset=movielens needs source=PATH; {REMEDY}")
    if not source.exists():
        raise FileNotFoundError(f"no file or folder {source}; {REMEDY}")
    places = [source] if source.is_file() else [source, *sorted(source.glob("ml-1*"))]
    found = [(place, name) for place in places for name in EDITIONS if _holds(place, name)]
    if len(found) > 1:
        listing = ", ".join(str(place) for place, _ in found)
        raise ValueError(f"{source} holds several editions; pass one of them as source: {listing}")
    if not found:
        listing = " nor ".join(
            ", ".join(table.file for table in tables.values()) for tables in EDITIONS.values()
        )
        raise FileNotFoundError(f"{source} holds neither {listing}; {REMEDY}")
    return found[0]


def _holds(place: Path, name: str) -> bool:
    if place.is_dir():
        return all((place / table.file).is_file() for table in EDITIONS[name].values())
    return place.name == f"{name}.zip"


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    place, name = _find(source)
    tables = {
        key: _table(place, table, _content(place, name, table.file))
        for key, table in EDITIONS[name].items()
    }
    tables["films"] = _films(tables["films"])
    return {key: ibis.memtable(table) for key, table in tables.items()}


def _content(place: Path, name: str, file: str) -> bytes:
    if place.is_dir():
        return (place / file).read_bytes()
    return content(place, f"{name}/{file}", REMEDY)


def _table(place: Path, table: Table, content: bytes) -> pa.Table:
    """One file, whose titles are Latin-1, with the number of each row."""
    text = content.decode("latin-1").replace(table.separator, "\t")
    kinds = {name: pa.int64() if name in WHOLE else pa.string() for name in table.columns}
    try:
        read = csv.read_csv(
            pa.py_buffer(text.encode()),
            read_options=csv.ReadOptions(column_names=table.columns),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(column_types=kinds, null_values=[""]),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{place}: a row of {table.file} is damaged ({error}); {REMEDY}"
        ) from error
    return read.append_column("__row", pa.array(range(1, read.num_rows + 1)))


def _films(films: pa.Table) -> pa.Table:
    """Item, genres (all of a film's, as one text) and the last year that its title names."""
    years = [YEAR.findall(title or "") for title in films["title"].to_pylist()]
    content = {
        "item": films["item"],
        "year": [int(found[-1]) if found else None for found in years],
    }
    if "genres" in films.column_names:
        return pa.table({**content, "genres": films["genres"]})
    flags = zip(*(films[name].to_pylist() for name in GENRES), strict=True)
    genres = [
        "|".join(g for g, flag in zip(GENRES, row, strict=True) if flag == "1") for row in flags
    ]
    return pa.table({**content, "genres": pa.array(genres, pa.string())})


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """One row a rating."""
    ratings, films = tables["ratings"], tables["films"]
    joined = ratings.left_join(films, "item")
    return joined.select(
        "user",
        "item",
        "rating",
        "genres",
        "year",
        time=joined["timestamp"].as_timestamp("s"),
        __file=ibis.literal("ratings"),
        __row=joined["__row"],
    )


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Gender, age and age group of every user; in ml-1m the age is the first of its group."""
    del connection, events
    users = tables["users"]
    group = ibis.cases(
        *((users.age <= last, name) for last, name in zip(LAST_AGES, AGE_GROUPS, strict=False)),
        else_=AGE_GROUPS[-1],
    )
    return users.select("user", "gender", "age", age_group=group)
