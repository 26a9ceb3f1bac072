"""Product purchases of a bank's corporate clients (MBD mini): a sequence a client, a label a month.

The source keeps one row a client with a list a field, and preparation cuts the lists into events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from grap_seq.prep.engines.base import epoch_microseconds
from grap_seq.prep.read.sources import read_columns, read_rows, source_folder
from grap_seq.prep.read.tables import table_files
from grap_seq.prep.stages.clean import as_text

CATEGORIES = (
    *("event_type", "event_subtype", "currency", "src_type11", "src_type12", "dst_type11"),
    *("dst_type12", "src_type21", "src_type22", "src_type31", "src_type32"),
)
LISTS = ("event_time", "amount", *CATEGORIES)
LABEL = "target_2"
TEST_FOLD = "4"
# Moscow is three hours ahead of UTC all year.
MOSCOW, DAY = 3 * 3600, 86_400
REMEDY = (
    "unpack ptls.tar.gz and targets.tar.gz of the Hugging Face dataset ai-lab/MBD-mini into it "
    "(ptls/trx/fold=0 ... fold=4, targets/fold=0 ...), or make artificial ones with "
    "`grap-seq synth dataset=mbd_mini output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """Transactions and targets of all folds; new clients may come without targets."""
    folds = [*_folds(source, "ptls/trx").values(), *_folds(source, "targets").values()]
    return [file for folder in folds for file in table_files(folder)]


def _folds(source: Path | None, name: str) -> dict[str, Path]:
    """Folders of parts by the number of their fold."""
    place = source_folder(source, "mbd_mini", REMEDY) / name
    folds = {path.name.removeprefix("fold="): path for path in sorted(place.glob("fold=*"))}
    if not folds and name != "targets":
        raise FileNotFoundError(f"{place} has no folder fold=0, fold=1, ...; {REMEDY}")
    return folds


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    trx = [
        _in_fold(read_rows(connection, path, ("client_id", *LISTS)), fold)
        for fold, path in _folds(source, "ptls/trx").items()
    ]
    targets = [
        _in_fold(read_columns(connection, path, ("client_id", "mon", LABEL)), fold)
        for fold, path in _folds(source, "targets").items()
    ]
    return {"trx": ibis.union(*trx)} | ({"targets": ibis.union(*targets)} if targets else {})


def _in_fold(table: ir.Table, fold: str) -> ir.Table:
    split = ibis.literal("test") if fold == TEST_FOLD else ibis.null("string")
    return table.mutate(client_id=as_text(table["client_id"]), __for_labels=split)


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """One row a client with its transactions as lists, timed in Moscow."""
    clients = tables["trx"]
    times, amounts = clients["event_time"], clients["amount"]
    return clients.mutate(
        event_time=times.map(lambda seconds: (seconds.cast("float64") + MOSCOW) / DAY),
        amount=amounts.map(lambda amount: amount.cast("float64").abs()),
    )


def labelled(source: Path | None) -> bool:
    return bool(_folds(source, "targets"))


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """The months of every client, and once without label every client, for its split."""
    del connection
    clients = events.select("__file", "client_id", split=events["__for_labels"]).distinct()
    clients = clients.filter(clients["client_id"].notnull())
    months = tables["targets"]
    mon = months["mon"]
    day = mon.try_cast("date") if mon.type().is_string() else mon
    start = epoch_microseconds(day.cast("timestamp(6)").truncate("M")) / (DAY * 1e6)
    unread = ibis.ifelse(mon.isnull(), ibis.null("float64"), float("nan"))
    months = months.select(
        "__file",
        "client_id",
        split=months["__for_labels"],
        month=ibis.coalesce(start, unread),
        **{LABEL: as_text(months[LABEL])},
    )
    known = months["client_id"].isnull() | months["client_id"].isin(clients["client_id"])
    quiet = ibis.ifelse(known, ibis.null("string"), "month of a client without transactions")
    months = months.mutate(__left_out=quiet)
    unlabelled = clients.select(
        "__file",
        "client_id",
        "split",
        month=ibis.null("float64"),
        **{LABEL: ibis.null("string")},
        __left_out=ibis.null("string"),
    )
    return ibis.union(months, unlabelled)
