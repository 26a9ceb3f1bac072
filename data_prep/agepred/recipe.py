"""Age groups of Sberbank's clients: one sequence a client, its card transactions over two years.

Three files: transactions of labelled clients, of unlabelled clients, and the labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.read.files import is_text, table_files
from grap_seq.prep.read.sources import labelled_parts, read_columns, source_folder
from grap_seq.prep.stages.cells import as_text
from grap_seq.prep.stages.splits import tail_split

COLUMNS = ("client_id", "trans_date", "small_group", "amount_rur")
LABEL = "bins"
TEST, VALIDATION = 0.1, 0.05
REMEDY = (
    "put transactions_train.csv, transactions_test.csv and train_target.csv of the Hugging Face "
    "dataset dllllb/age-group-prediction into it, or make artificial ones with "
    "`grap-seq synth dataset=agepred output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """Both parts and the labels; the unlabelled part, or the labelled one, may be absent."""
    return [file for path in _parts(source).values() for file in table_files(path)]


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "agepred", REMEDY)
    return labelled_parts(folder, "transactions_train", "train_target", "transactions_test", REMEDY)


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    tables = {
        name: read_columns(connection, path, ("client_id", LABEL) if name == "target" else COLUMNS)
        for name, path in parts.items()
    }
    if "target" not in tables:
        return tables
    ids = ibis.union(
        *(_ids(tables[name]) for name in ("train", "test") if name in tables), distinct=True
    )
    everyone = set(connection.to_pyarrow(ids)["id"].to_pylist())
    known = set(connection.to_pyarrow(_ids(tables["target"]))["id"].to_pylist())
    labelled = known & everyone
    split = tail_split(labelled, everyone - labelled, test=TEST, validation=VALIDATION)
    content = {"client_id": pa.array(split, pa.string()), "split": list(split.values())}
    tables["splits"] = ibis.memtable(pa.table(content))
    return tables


def _ids(table: ir.Table) -> ir.Table:
    ids = table.select(id=as_text(table["client_id"])).distinct()
    return ids.filter(ids["id"].notnull())


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every transaction of both parts, as it stands."""
    parts = [tables[name] for name in ("train", "test") if name in tables]
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def labels(tables: dict[str, ir.Table]) -> ir.Table | None:
    """Label and split of every client; the label is missing in the unlabelled part."""
    if "target" not in tables:
        return None
    target = tables["target"]
    target = target.mutate(client_id=as_text(target["client_id"]))
    # An outer join: a label without events is reported, not lost.
    joined = target.outer_join(tables["splits"], "client_id")
    return joined.select(
        LABEL,
        "split",
        client_id=ibis.coalesce(joined["client_id"], joined["client_id_right"]),
        __file=joined["__file"].fill_null("transactions_test"),
    )


def untyped(source: Path | None) -> bool:
    return is_text(next(iter(_parts(source).values())))
