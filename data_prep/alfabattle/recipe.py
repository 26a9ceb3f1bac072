"""Loan defaults of AlfaBattle 2.0: one sequence an application, the card transactions before it.

A large dataset: everything that looks at all transactions is a single scan or a count by id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.describe.recipes import load
from grap_seq.prep.read.sources import (
    labelled_parts,
    part_files,
    parts_are_text,
    read_columns,
    read_together,
    source_folder,
)
from grap_seq.prep.stages.cells import as_number, as_text
from grap_seq.prep.stages.splits import ids_of

spark_hash = load("grap_seq_murmur", Path(__file__).with_name("murmur.py")).spark_hash

CATEGORIES = (
    *("mcc", "currency", "operation_kind", "card_type", "operation_type", "operation_type_group"),
    *("ecommerce_flag", "payment_system", "income_flag", "country", "city", "mcc_category"),
    *("day_of_week", "hour", "weekofyear"),
)
COLUMNS = ("app_id", *CATEGORIES, "amnt", "hour_diff", "days_before", "transaction_number")
TARGET = ("app_id", "product", "flag")
# Shares of the labelled applications for test, and of the others for validation.
TEST, VALIDATION = 0.1, 0.05
SALT = "42"
REMEDY = (
    "put the folders train_transactions and test_transactions and train_target.csv of the Hugging "
    "Face dataset dllllb/alfa-scoring-trx into it, or make artificial ones with "
    "`grap-seq synth dataset=alfabattle output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """Both parts and the labels; the unlabelled part, or the labelled one, may be absent."""
    return part_files(_parts(source))


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "alfabattle", REMEDY)
    return labelled_parts(folder, "train_transactions", "train_target", "test_transactions", REMEDY)


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    target = parts.pop("target", None)
    tables = {"transactions": read_together(connection, [*parts.values()], COLUMNS)}
    if target is not None:
        tables["target"] = connection.held(read_columns(connection, target, TARGET))
    return tables


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every transaction of both parts, with a time that runs forward."""
    rows = tables["transactions"]
    return rows.select(
        "__file",
        "app_id",
        *CATEGORIES,
        "amnt",
        "transaction_number",
        time=-as_number(rows["days_before"], "days_before"),
        # The first transaction has -1: it counts like an hour.
        hour_diff=as_number(rows["hour_diff"], "hour_diff").abs(),
    )


def labelled(source: Path | None) -> bool:
    return "target" in _parts(source)


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Label and split of every application; the label is missing in the unlabelled part."""
    target = tables["target"]
    apps = sorted(ids_of(connection, target, "app_id"))
    hashes = ibis.memtable(
        pa.table(
            {"app_id": pa.array(apps, pa.string()), "hash": spark_hash([a + SALT for a in apps])}
        )
    )
    names = {name: as_text(target[name]) for name in TARGET}
    hashed = target.select("__file", **names).left_join(hashes, "app_id")
    hashed = hashed.select("__file", "app_id", "product", "flag", "hash")
    alike = ibis.window(group_by=[hashed["product"], hashed["flag"]])
    ordered = ibis.window(
        group_by=[hashed["product"], hashed["flag"]], order_by=[hashed["hash"], hashed["app_id"]]
    )
    share = (ibis.row_number().over(ordered) + 1) / hashed.count().over(alike)
    marked = hashed.select("__file", "app_id", "flag", tested=share < TEST)
    ids = events.select(app_id=as_text(events["app_id"])).distinct()
    ids = ids.filter(ids["app_id"].notnull())
    # An outer join: a label without events is reported, not lost.
    joined = marked.outer_join(ids, "app_id")
    app = ibis.coalesce(joined["app_id"], joined["app_id_right"])
    validates = app.try_cast("int64") % 100 < round(100 * VALIDATION)
    split = ibis.cases(
        (joined["tested"].fill_null(False), "test"), (validates, "val"), else_="train"
    )
    file = joined["__file"].fill_null("test_transactions")
    return joined.select("flag", app_id=app, split=split, __file=file)


def untyped(source: Path | None) -> bool:
    return parts_are_text(_parts(source))
