"""Stage 2: one row a sequence, with its split, its bucket and its labels."""

from __future__ import annotations

import json

import ibis
import ibis.expr.types as ir

from grap_seq.prep.stages.facts import with_facts
from grap_seq.prep.stages.label_of_ids import label_of_ids
from grap_seq.prep.stages.labels import any_label, no_labels
from grap_seq.prep.stages.splits import MAX_BUCKETS, bucket_of, split_of, without_test
from grap_seq.prep.stages.usable import Usable
from grap_seq.prep.stages.work import Work

# Cells of time and fields: what is coded, sorted and grouped at once fits in any memory limit.
VALUES_PER_BUCKET = 36_000_000
CHECKED = "checked.json"


def find_sequences(work: Work, usable: Usable) -> ir.Table:
    """Keep and return `__key __id __number __events __split __bucket __label0`...

    Also `__label_time`, `__until` and static fields where there are any. Bad rows are counted, or
    the first is an error.
    """
    path = work.folder / CHECKED
    if path.exists():
        # The events that were checked may be there no more.
        work.problems.counts = dict(json.loads(path.read_text("utf-8")))
        return work.store.get("sequences")
    labels = usable.check()
    ids = _ids(work, usable)
    split, found = work.spec.split, _with_labels(work, ids, labels)
    if labels is not None:
        given = labels.filter(labels["__split"] == "test").count()
        if work.connection.to_pyarrow(given).as_py():
            split = without_test(split)
    if work.spec.until is not None and work.spec.relative_time:
        found = found.mutate(__until=found["__until"] - found["__first"])
    for facts in usable.facts(work.spec.static.names):
        found = with_facts(found, "__id", facts)
    if work.stored is not None:
        # Without any label there is nothing to train or validate on.
        labelled = any_label(found, work.spec).sum().as_scalar() if work.spec.label else 0
        found = found.mutate(__split=ibis.ifelse(labelled == 0, "test", found["__split"]))
    as_integer = found["__id"].try_cast("int64")
    table = found.select(
        "__key",
        "__id",
        "__events",
        *work.spec.label_columns,
        *(["__label_time"] if work.spec.local_labels else []),
        *(["__until"] if work.spec.until is not None else []),
        *work.spec.static.names,
        # Sorting by a number is cheaper than by text; the order is mostly the final one.
        __number=ibis.row_number().over(order_by=[as_integer, found["__id"]]),
        __split=split_of(found["__id"], split, found["__split"]),
        __bucket=bucket_of(found["__id"], _buckets(work, ids)),
    )
    work.store.put("sequences", table)
    work.note(CHECKED, work.problems.counts)
    return work.store.get("sequences")


def _ids(work: Work, usable: Usable) -> ir.Table:
    """Ids with their events' number, and what labels and `until` need to know of them.

    Raises:
        ValueError: fewer than two.
    """
    events = usable.events
    facts = {"__events": events.count()}
    if work.spec.local_labels or work.spec.until is not None:
        facts["__first"] = events["event_time"].min()
    if work.spec.until is not None:
        facts["__until"] = events["__until"].min()
    groups = events.group_by(__key=events[work.spec.id]).aggregate(**facts)
    work.store.put("ids", groups.mutate(__id=groups["__key"].cast("string")))
    ids = work.store.get("ids")
    count = work.connection.to_pyarrow(ids.count()).as_py()
    if count < (2 if work.stored is None else 1):
        raise ValueError(
            f"{work.spec.name}: {'one sequence only' if count else 'the table has no events'}; "
            f"training and evaluation need several values of '{work.spec.id}'"
        )
    return ids


def _with_labels(work: Work, ids: ir.Table, labels: ir.Table | None) -> ir.Table:
    if labels is None:
        return ids.mutate(__split=ibis.null("string"), **no_labels(work.spec))
    known = label_of_ids(
        work.connection, labels, ids, work.problems, work.spec, required=work.stored is None
    )
    return ids.left_join(known, "__id").drop("__id_right")


def _buckets(work: Work, ids: ir.Table) -> int:
    total: int = work.connection.to_pyarrow(ids["__events"].sum()).as_py()
    values = total * (1 + len(work.spec.categories) + len(work.spec.numerical))
    return min(MAX_BUCKETS, -(-values // VALUES_PER_BUCKET))
