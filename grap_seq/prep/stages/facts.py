"""What is known of a sequence as a whole: static fields, and the date up to which it was observed.

Each is a column of the label file, or one of the events that is constant within an id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.stages.problems import Problems, of_number, of_time
from grap_seq.prep.stages.times import TimeKind, check_same_kind

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection


def require_facts(
    connection: Connection,
    events: ir.Table,
    beside: Collection[str],
    spec: DatasetSpec,
    kind: TimeKind,
    where: str,
) -> None:
    """Refuse events without a column of `spec.facts` that is not `beside` them either.

    Args:
        beside: columns of the labels, as `label_file` calls them.
        kind: how the events' times are written.

    Raises:
        ValueError: neither has it, or it is a date of another kind than the times.
    """
    for name, column in spec.facts.items():
        if column in beside:
            continue
        dated = name == spec.until_column
        if name not in events.columns:
            remedy = "if it is a date, correct it, or give until=DATE" if dated else "add it to one"
            raise ValueError(
                f"{where}: {'until' if dated else 'static'} names a column '{name}', which neither "
                f"the events nor a label file have; {remedy}"
            )
        if dated:
            check_same_kind(connection, events, spec, name, kind, where)


def facts_of_ids(
    whole: ir.Table, rows: ir.Table, key: str, columns: Mapping[str, str], problems: Problems
) -> ir.Table:
    """One row an id: `__owner` and the value of each column, null where no row has one.

    Args:
        whole: the table of which `rows` are a part, for `problems`.
        rows: events or labels.
        key: column of their id.
        columns: columns of `rows` by their names in the source.

    Raises:
        ValueError: in strict mode, a number or date that cannot be read, or two values of one id.
    """
    values = {}
    for given, name in columns.items():
        value = rows[name]
        if value.type().is_floating():
            unread = rows.filter(value.isnan().fill_null(False))
            reason = f"unreadable cell in column '{given}'"
            advise = of_time if name == "__until" else of_number
            problems.report(whole, unread, reason, "__bad", advise=advise)
            value = ibis.ifelse(value.isnan(), ibis.null("float64"), value)
        values[name] = value
    known = rows.mutate(**values).filter(rows[key].notnull())
    least = {name: known[name].min() for name in values}
    largest = {f"{name}__most": known[name].max() for name in values}
    found = known.group_by(__owner=known[key]).aggregate(**least, **largest)
    one = {}
    for given, name in columns.items():
        torn = found.filter(found[name] != found[f"{name}__most"])
        several = known.semi_join(torn, known[key] == torn["__owner"])
        problems.report(whole, several, f"several values in column '{given}' for one id", key)
        same = found[name] == found[f"{name}__most"]
        one[name] = ibis.ifelse(same, found[name], ibis.null(found[name].type()))
    return found.select("__owner", **one)


def with_facts(events: ir.Table, key: str, facts: ir.Table) -> ir.Table:
    """Events with the columns of `facts_of_ids`, in place of their own."""
    own = events.drop(*{*facts.columns} & {*events.columns})
    return own.left_join(facts, own[key].cast("string") == facts["__owner"].cast("string")).drop(
        "__owner"
    )
