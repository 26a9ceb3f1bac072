"""Up to when each history was observed: `until` of a description, as event_time of each sequence.

A date, a number or "newest" holds for all sequences. A column holds for each its own: one of the
label file, or one of the events that is constant within an id.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from grap_seq.prep.clean import TimeKind
from grap_seq.prep.problems import Problems
from grap_seq.prep.spec import NEWEST, SECONDS, DatasetSpec

if TYPE_CHECKING:
    from grap_seq.prep.engine import Connection

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
REMEDY = (
    "a date without a clock time is its first moment, so that events of that day need the next one;"
    " give a later one (of new data: until=DATE)"
)


def common_until(
    spec: DatasetSpec, kind: TimeKind, events: ir.Table, connection: Connection
) -> float:
    """The one moment of all sequences, as event_time, where `until` is no column.

    Args:
        kind: how the events' times are written.
        events: usable events, for "newest".

    Raises:
        ValueError: a date where times are numbers, or a number where they are dates.
    """
    until = spec.until
    assert until is not None
    if until == NEWEST:
        return float(connection.to_pyarrow(events["event_time"].max()).as_py())
    moment = spec.moment(until) if isinstance(until, str) else None
    if (moment is None) != (kind == "number"):
        wanted = "a number like them" if kind == "number" else "a date"
        raise ValueError(
            f"{spec.name}: until is {until!r}, and the times in column '{spec.time}' are "
            f"{'numbers' if kind == 'number' else 'dates'}; give {wanted}"
        )
    if moment is None:
        assert not isinstance(until, str)
        return float(until)
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    # As `as_time` does: whole microseconds, divided once.
    return (known - EPOCH) // timedelta(microseconds=1) / (1_000_000.0 * SECONDS[spec.time_unit])


def until_of_ids(
    whole: ir.Table, rows: ir.Table, key: str, spec: DatasetSpec, problems: Problems
) -> ir.Table:
    """`__owner` and `__until`, one row an id, from rows with `__until`.

    Args:
        whole: the table of which `rows` are a part, for `problems`.
        rows: events or labels.
        key: column of their id.

    Raises:
        ValueError: in strict mode, a date that cannot be read, or two dates of one id.
    """
    until, given = rows["__until"], spec.until_column
    unread = rows.filter(until.isnan().fill_null(False))
    problems.report(whole, unread, f"unreadable time in column '{given}'", "__bad")
    known = rows.filter(until.notnull() & ~until.isnan() & rows[key].notnull())
    ends = known.group_by(__owner=known[key]).aggregate(
        __until=known["__until"].min(), __other=known["__until"].max()
    )
    torn = ends.filter(ends["__until"] != ends["__other"])
    several = known.semi_join(torn, known[key] == torn["__owner"])
    problems.report(whole, several, f"several dates in column '{given}' for one id", key)
    return ends.filter(ends["__until"] == ends["__other"]).drop("__other")


def with_until(events: ir.Table, spec: DatasetSpec, until: ir.Table | float) -> ir.Table:
    """Events with `__until`: null where their sequence has none."""
    if isinstance(until, float):
        # A number in a query would go through a decimal literal and could lose its last bit.
        return events.cross_join(ibis.memtable({"__until": [until]}))
    events = events.drop(*{"__until"} & {*events.columns})
    return events.left_join(until, events[spec.id] == until["__owner"]).drop("__owner")


def observed(events: ir.Table) -> ir.Table:
    """Of the events of `with_until` those that were observed."""
    return events.filter((events["event_time"] <= events["__until"]).fill_null(False))


def check_observed(events: ir.Table, spec: DatasetSpec, problems: Problems) -> None:
    """Count or raise for events of `with_until` that were not observed."""
    missing = events.filter(events["__until"].isnull())
    reason = f"event of an id without a date in column '{spec.until_column}'"
    problems.report(events, missing, reason, spec.id)
    late = events.filter((events["event_time"] > events["__until"]).fill_null(False))
    what = f"until: {spec.until}" if spec.until_column is None else f"column '{spec.until_column}'"
    problems.report(events, late, f"event after the date in {what}", spec.id, REMEDY)
