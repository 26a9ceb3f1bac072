"""Product purchases of a bank's corporate clients (MBD mini): a sequence a client, a label a month.

The source keeps one row a client with a list a field, and preparation cuts the lists into events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from grap_seq.prep.engines.base import epoch_microseconds
from grap_seq.prep.read.files import table_files
from grap_seq.prep.read.sources import read_columns, read_rows, source_folder
from grap_seq.prep.stages.cells import as_text

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
    return {"trx": _union(trx)} | ({"targets": _union(targets)} if targets else {})


def _in_fold(table: ir.Table, fold: str) -> ir.Table:
    split = ibis.literal("test") if fold == TEST_FOLD else ibis.null("string")
    return table.mutate(client_id=as_text(table["client_id"]), split=split)


def _union(tables: list[ir.Table]) -> ir.Table:
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """One row a client with its transactions as lists, timed in Moscow."""
    clients = tables["trx"]
    times, amounts = clients["event_time"], clients["amount"]
    return clients.mutate(
        event_time=times.map(lambda seconds: (seconds.cast("float64") + MOSCOW) / DAY),
        amount=amounts.map(lambda amount: amount.cast("float64").abs()),
    )


def labels(tables: dict[str, ir.Table]) -> ir.Table | None:
    """The months of every client, and once without label every client, for its split."""
    if "targets" not in tables:
        return None
    targets, trx = tables["targets"], tables["trx"]
    known = targets["client_id"].isnull() | targets["client_id"].isin(_active(tables)["client_id"])
    months = targets.filter(known)
    mon = months["mon"]
    day = mon.try_cast("date") if mon.type().is_string() else mon
    start = epoch_microseconds(day.cast("timestamp(6)").truncate("M")) / (DAY * 1e6)
    unread = ibis.ifelse(mon.isnull(), ibis.null("float64"), float("nan"))
    months = months.select(
        "__file",
        "client_id",
        "split",
        month=ibis.coalesce(start, unread),
        **{LABEL: as_text(months[LABEL])},
    )
    clients = trx.select(
        "__file",
        "client_id",
        "split",
        month=ibis.null("float64"),
        **{LABEL: ibis.null("string")},
    )
    return ibis.union(months, clients.semi_join(_active(tables), "client_id"))


def _active(tables: dict[str, ir.Table]) -> ir.Table:
    """Clients with a transaction."""
    trx = tables["trx"]
    return trx.filter(trx["event_time"].length() > 0).select("client_id").distinct()


def dropped(tables: dict[str, ir.Table]) -> dict[str, ir.IntegerScalar]:
    if "targets" not in tables:
        return {}
    targets = tables["targets"]
    known = targets.filter(targets["client_id"].notnull())
    return {
        "month of a client without transactions": known.anti_join(
            _active(tables), "client_id"
        ).count()
    }
