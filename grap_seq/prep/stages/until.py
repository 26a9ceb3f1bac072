"""Up to when each history was observed: `until` of a description, as event_time of each sequence.

A date, a number or "newest" holds for all sequences; a column holds for each its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.describe.spec import NEWEST, DatasetSpec
from grap_seq.prep.describe.spec_parts import SECONDS
from grap_seq.prep.stages.problems import Problems
from grap_seq.prep.stages.times import TimeKind

# Working column, as `DatasetSpec.facts` calls it.
UNTIL = "__until"
MOMENT = pa.schema([(UNTIL, pa.float64())])
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
REMEDY = (
    "a date without a clock time is its first moment, so that events of that day need the next one;"
    " give a later one (of new data: until=DATE)"
)


def common_until(spec: DatasetSpec, kind: TimeKind, newest: Callable[[], float]) -> float:
    """The one moment of all sequences, as event_time, where `until` is no column.

    Args:
        kind: how the events' times are written.
        newest: finds the time of the newest usable event.

    Raises:
        ValueError: a date where times are numbers, or a number where they are dates.
    """
    until = spec.until
    assert until is not None
    if until == NEWEST:
        return float(newest())
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


def with_until(events: ir.Table, until: ir.Table) -> ir.Table:
    """Events with the one `__until` of a `moment_table`; a column's own come from `with_facts`."""
    return events.cross_join(until)


def moment_table(until: float) -> pa.Table:
    """A table, for a number in a query would go through a decimal literal and lose its last bit."""
    return pa.table({UNTIL: [until]}, MOMENT)


def observed(events: ir.Table) -> ir.Table:
    """Of events with `__until` those that were observed."""
    return events.filter((events["event_time"] <= events["__until"]).fill_null(False))


def check_observed(events: ir.Table, spec: DatasetSpec, problems: Problems) -> None:
    """Count or raise for events with `__until`, maybe null, that were not observed."""
    if spec.until_column is not None:
        missing = events.filter(events["__until"].isnull())
        reason = f"event of an id without a date in column '{spec.until_column}'"
        problems.report(events, missing, reason, spec.id)
    late = events.filter((events["event_time"] > events["__until"]).fill_null(False))
    what = f"until: {spec.until}" if spec.until_column is None else f"column '{spec.until_column}'"
    problems.report(events, late, f"event after the date in {what}", spec.id, REMEDY)
