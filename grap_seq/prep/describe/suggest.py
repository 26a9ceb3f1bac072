"""Look at a table and write a first YAML description of it, to be read and corrected by its owner.

Text is tried as numbers and dates, the same way in which preparation reads it, so that what is
suggested can be prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.table import Table

from grap_seq.files import atomic_write
from grap_seq.names import nearest
from grap_seq.prep.describe.columns import cell, look
from grap_seq.prep.describe.guess import NOTHING, Guess, Known, guess
from grap_seq.prep.describe.recipes import suggested_path
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.describe.suggested_yaml import text_of
from grap_seq.prep.engines.connect import connect
from grap_seq.prep.read.lists import explode
from grap_seq.prep.read.tables import read_table
from grap_seq.terminal import Terminal

ROWS = 1_000_000


def suggest(source: Path, output: Path | None = None, known: Known = NOTHING) -> Path:
    """Write a commented YAML description beside the table (or to `output`) and print the columns.

    Args:
        known: what need not be guessed.

    Raises:
        FileExistsError: there is already such a file.
        FileNotFoundError, ValueError: no table, an empty one, no column that can be id or time, or
            none of a known name.
    """
    output = suggested_path(source) if output is None else output
    if output.exists():
        raise FileExistsError(f"{output} exists; edit it, remove it or name another with spec=")
    connection = connect()
    try:
        with connection.clear_errors(f"reading {source}"):
            table = read_table(connection, source)
            names = [name for name in table.columns if not name.startswith("__")]
            lists = [name for name in names if table[name].type().is_array()]
            table = explode(connection, table, lists, str(source)).limit(ROWS)
            cells = connection.to_pyarrow(table.select(**{n: cell(table[n]) for n in names}))
            count = len(cells)
            if not count:
                raise ValueError(f"{source}: the table has no events")
            found = guess(connection, cells, look(connection, cells), source, known)
            label = tuple(column.name for column in found.label)
            if known.labels is not None:
                columns = read_table(connection, known.labels).columns
                label = _labels(known, found.id.name, columns)
    finally:
        connection.disconnect()
    text = text_of(found, known, label, source, output, count)
    DatasetSpec.from_dict(yaml.safe_load(text), str(output))
    with atomic_write(output) as temporary:
        temporary.write_text(text, "utf-8")
    Terminal().print(_table(found, source, count))
    return output


def _labels(known: Known, id_name: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Labels in a label file with these columns.

    Raises:
        ValueError: it has no ids, not the labels that were named, or several and none was named.
    """
    others = [n for n in columns if n not in (id_name, "split") and not n.startswith("__")]
    if id_name not in columns:
        raise ValueError(
            f"labels={known.labels}: no column {id_name!r}, by which labels find their sequences;"
            f" it has {', '.join(others)}"
        )
    for name in known.label or ():
        if name not in others:
            raise ValueError(f"label={name}: {known.labels} has none; {nearest(name, others)}")
    if known.label is None and len(others) != 1:
        raise ValueError(
            f"labels={known.labels} has {', '.join(others) or 'no column beside the id'}; say which"
            " is the label with label="
        )
    return known.label or tuple(others)


def _table(found: Guess, source: Path, rows: int) -> Table:
    table = Table(title=f"{source.name}: {rows:,} rows looked at", title_justify="left")
    for name in ("column", "used as", "looks like"):
        table.add_column(name)
    table.add_column("values", justify="right")
    table.add_column("missing", justify="right")
    uses = [
        ("id", [found.id]),
        ("time", [found.time]),
        ("categorical", found.categorical),
        ("numerical", found.numerical),
        ("static", found.static),
        ("label", found.label),
        ("left out", found.left_out),
    ]
    for use, columns in uses:
        for c in columns:
            share = f"{c.missing / rows:.1%}"
            table.add_row(c.name, use, c.time_format or c.kind, f"{c.distinct:,}", share)
    return table
