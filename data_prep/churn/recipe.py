"""Churn of Rosbank's clients: one sequence a client, its card transactions.

Two files: the labelled clients with their flag in every row, and unlabelled clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from grap_seq.prep.read.sources import (
    labelled_parts,
    part_files,
    parts_are_text,
    read_columns,
    source_folder,
)
from grap_seq.prep.stages.clean import as_text
from grap_seq.prep.stages.splits import tail_splits

COLUMNS = ("cl_id", "TRDATETIME", "MCC", "channel_type", "currency", "trx_category", "amount")
LABEL = "target_flag"
TEST, VALIDATION = 0.1, 0.05
REMEDY = (
    "put train.csv.gz and test.csv.gz of the Hugging Face dataset dllllb/rosbank-churn into it, or "
    "make artificial ones with `grap-seq synth dataset=churn output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """The labelled part and the unlabelled one; either may be absent."""
    return part_files(_parts(source))


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "churn", REMEDY)
    return labelled_parts(folder, "train", None, "test", REMEDY)


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    return {
        name: read_columns(connection, path, (*COLUMNS, LABEL) if name == "train" else COLUMNS)
        for name, path in _parts(source).items()
    }


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every transaction of both parts, as it stands, and the label of its client."""
    parts = []
    for table in tables.values():
        known = LABEL in table.columns
        label = as_text(table[LABEL]) if known else ibis.null("string")
        parts.append(table.select("__file", *COLUMNS, __for_labels=label))
    return ibis.union(*parts)


def labelled(source: Path | None) -> bool:
    return "train" in _parts(source)


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Label and split of every client; the label is missing in the unlabelled part."""
    del tables
    rows = events.select("__file", "cl_id", **{LABEL: events["__for_labels"]})
    rows = rows.mutate(cl_id=as_text(rows["cl_id"]))
    # As often as the rows of a client disagree.
    flags = rows.filter(rows[LABEL].notnull()).distinct()
    splits = tail_splits(connection, rows, flags, "cl_id", test=TEST, validation=VALIDATION)
    joined = splits.left_join(flags, "cl_id")
    return joined.select("cl_id", LABEL, "split", __file=joined["__file"].fill_null("test"))


def untyped(source: Path | None) -> bool:
    return parts_are_text(_parts(source))
