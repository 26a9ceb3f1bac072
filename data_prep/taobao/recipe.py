"""Activity of Taobao's users: one sequence a user and week, labelled by a purchase a week later.

The three weeks of history follow each other, so the week whose purchases label one sample is the
history of the next.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.engines.base import epoch_microseconds, parse_time
from grap_seq.prep.read.sources import need_table, read_rows, source_folder
from grap_seq.prep.read.tables import table_files
from grap_seq.prep.stages.clean import as_text
from grap_seq.prep.stages.splits import ids_of

STEM = "tianchi_mobile_recommend_train_user"
COLUMNS = ("user_id", "item_id", "behavior_type", "item_category", "time")
FORMAT = "%Y-%m-%d %H"
# 2014-11-18, in days since 1970.
START, DAYS, WEEKS = 16_392, 7, 3
EPOCH = datetime(1970, 1, 1)
BUY = "4"
VALIDATION, SEED = 0.15, 42
REMEDY = (
    f"log in at tianchi.aliyun.com, accept the terms of dataset 46, put {STEM}.csv into the folder;"
    " or make an artificial one with `grap-seq synth dataset=taobao output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """The one table of the dataset."""
    return table_files(_table(source))


def _table(source: Path | None) -> Path:
    return need_table(source_folder(source, "taobao", REMEDY), STEM, REMEDY)


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    return {"actions": read_rows(connection, _table(source), COLUMNS)}


def _split(samples: Collection[str]) -> dict[str, str]:
    """The third week tests; of the samples of the first two, 15 % validate."""
    last = f"_{WEEKS}"
    ordered = sorted(sample for sample in samples if not sample.endswith(last))
    random.Random(SEED).shuffle(ordered)
    split = {sample: "test" for sample in samples if sample.endswith(last)}
    for place, sample in enumerate(ordered):
        split[sample] = "val" if place < int(len(ordered) * VALIDATION) else "train"
    return split


def _week(actions: ir.Table) -> ir.IntegerValue:
    """Week since 2014-11-18, from 0; also 0 where the time cannot be read, to be found there."""
    time = actions["time"]
    moment = parse_time(time.strip(), FORMAT) if time.type().is_string() else time
    days = epoch_microseconds(moment.cast("timestamp(6)")) // 86_400_000_000 - START
    return (days // DAYS).fill_null(0)


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Every action in the sample of its user and week; those outside the three weeks left out."""
    actions = tables["actions"]
    week = _week(actions)
    outside = ibis.ifelse(
        week.between(0, WEEKS - 1),
        ibis.null("string"),
        "action outside the three weeks of history",
    )
    return actions.mutate(
        sample=as_text(actions["user_id"]) + "_" + (week + 1).cast("string"), __left_out=outside
    ).drop("user_id")


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Whether the user buys anything in the week after the sample's, and when that begins."""
    del tables
    samples = ids_of(connection, events.filter(events["__left_out"].isnull()), "sample")
    split = _split(samples)
    ends = [EPOCH + timedelta(START + DAYS * int(sample[-1])) for sample in split]
    content = {
        "sample": pa.array(split, pa.string()),
        "split": pa.array(split.values()),
        "until": pa.array(ends, pa.timestamp("us")),
    }
    bought = events.filter((events["behavior_type"] == BUY) & events["sample"].notnull())
    user, week = (bought["sample"].re_extract(r"^(.*)_(-?[0-9]+)$", group) for group in (1, 2))
    before = user + "_" + (week.cast("int64") - 1).cast("string")
    bought = bought.select(sample=before, buys=ibis.literal("1")).distinct()
    joined = ibis.memtable(pa.table(content)).left_join(bought, "sample")
    return joined.select("sample", "split", "until", buys=joined["buys"].fill_null("0"))
