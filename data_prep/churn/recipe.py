"""Churn of Rosbank's clients: one sequence a client, its card transactions.

Two files: the labelled clients with their flag in every row, and unlabelled clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.read.files import is_text, table_files
from grap_seq.prep.read.sources import find_table, need_table, read_columns, source_folder
from grap_seq.prep.stages.cells import as_text
from grap_seq.prep.stages.splits import tail_split

COLUMNS = ("cl_id", "TRDATETIME", "MCC", "channel_type", "currency", "trx_category", "amount")
LABEL = "target_flag"
TEST, VALIDATION = 0.1, 0.05
REMEDY = (
    "put train.csv.gz and test.csv.gz of the Hugging Face dataset dllllb/rosbank-churn into it, or "
    "make artificial ones with `grap-seq synth dataset=churn output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """The labelled part and the unlabelled one; either may be absent."""
    return [file for path in _parts(source).values() for file in table_files(path)]


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "churn", REMEDY)
    parts = {name: find_table(folder, name) for name in ("train", "test")}
    found = {name: path for name, path in parts.items() if path is not None}
    return found or {"train": need_table(folder, "train", REMEDY)}


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    tables = {
        name: read_columns(connection, path, (*COLUMNS, LABEL) if name == "train" else COLUMNS)
        for name, path in parts.items()
    }
    if "train" not in tables:
        return tables
    flags = _flags(tables["train"])
    labelled = _ids(connection, flags.filter(flags[LABEL].notnull()))
    everyone = set().union(*(_ids(connection, table) for table in tables.values()))
    split = tail_split(labelled, everyone - labelled, test=TEST, validation=VALIDATION)
    content = {"cl_id": pa.array(split, pa.string()), "split": list(split.values())}
    tables["splits"] = ibis.memtable(pa.table(content))
    return tables


def _flags(train: ir.Table) -> ir.Table:
    """Label of each client, as often as its rows disagree."""
    ids = as_text(train["cl_id"])
    return train.select("__file", cl_id=ids, **{LABEL: as_text(train[LABEL])}).distinct()


def _ids(connection: Any, table: ir.Table) -> set[str]:
    ids = table.select(id=as_text(table["cl_id"])).distinct()
    return set(connection.to_pyarrow(ids.filter(ids["id"].notnull()))["id"].to_pylist())


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every transaction of both parts, as it stands."""
    parts = [
        tables[name].select("__file", *COLUMNS) for name in ("train", "test") if name in tables
    ]
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def labels(tables: dict[str, ir.Table]) -> ir.Table | None:
    """Label and split of every client; the label is missing in the unlabelled part."""
    if "train" not in tables:
        return None
    flags = _flags(tables["train"])
    flags = flags.filter(flags[LABEL].notnull())
    joined = tables["splits"].left_join(flags, "cl_id")
    return joined.select("cl_id", LABEL, "split", __file=joined["__file"].fill_null("test"))


def untyped(source: Path | None) -> bool:
    return is_text(next(iter(_parts(source).values())))
