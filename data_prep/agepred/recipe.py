"""Age groups of Sberbank's clients: one sequence a client, its card transactions over two years.

Three files: transactions of labelled clients, of unlabelled clients, and the labels.
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
    read_together,
    source_folder,
)
from grap_seq.prep.stages.cells import as_text
from grap_seq.prep.stages.splits import tail_splits

COLUMNS = ("client_id", "trans_date", "small_group", "amount_rur")
LABEL = "bins"
# A day's number, also where it is text.
TIME_KIND = "number"
TEST, VALIDATION = 0.1, 0.05
REMEDY = (
    "put transactions_train.csv, transactions_test.csv and train_target.csv of the Hugging Face "
    "dataset dllllb/age-group-prediction into it, or make artificial ones with "
    "`grap-seq synth dataset=agepred output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """Both parts and the labels; the unlabelled part, or the labelled one, may be absent."""
    return part_files(_parts(source))


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "agepred", REMEDY)
    return labelled_parts(folder, "transactions_train", "train_target", "transactions_test", REMEDY)


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    target = parts.pop("target", None)
    tables = {"transactions": read_together(connection, [*parts.values()], COLUMNS)}
    if target is not None:
        tables["target"] = connection.held(read_columns(connection, target, ("client_id", LABEL)))
    return tables


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every transaction of both parts, as it stands."""
    return tables["transactions"]


def labelled(source: Path | None) -> bool:
    return "target" in _parts(source)


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Label and split of every client; the label is missing in the unlabelled part."""
    target = tables["target"].mutate(client_id=as_text(tables["target"]["client_id"]))
    splits = tail_splits(connection, events, target, "client_id", test=TEST, validation=VALIDATION)
    # An outer join: a label without events is reported, not lost.
    joined = target.outer_join(splits, "client_id")
    return joined.select(
        LABEL,
        "split",
        client_id=ibis.coalesce(joined["client_id"], joined["client_id_right"]),
        __file=joined["__file"].fill_null("transactions_test"),
    )


def untyped(source: Path | None) -> bool:
    return parts_are_text(_parts(source))
