"""Bad labels, as bad rows are: the first is an error, or all are counted and left out.

One label a sequence with a time of its own (`label_time`) forbids events from that time on.
"""

from __future__ import annotations

import ibis.expr.types as ir

from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.stages.labels import any_label, null_unless
from grap_seq.prep.stages.problems import Problems, of_number, of_time

LATE = "to leave out and count such events, write after_label: drop in the description"


def with_times(labels: ir.Table, spec: DatasetSpec, problems: Problems) -> ir.Table:
    """Labels without those that lack a time where one is needed; their split stays.

    Raises:
        ValueError: in strict mode, for the first of them.
    """
    if spec.label_time is None:
        return labels
    time, given = labels["__label_time"], labels["__id"].notnull() & any_label(labels, spec)
    missing = labels.filter(given & time.isnull())
    problems.report(labels, missing, f"label without time in column '{spec.label_time}'")
    unread = labels.filter(given & time.isnan())
    problems.report(
        labels, unread, f"unreadable time in column '{spec.label_time}'", "__bad", advise=of_time
    )
    known = time.notnull() & ~time.isnan()
    return labels.mutate(
        **{place: null_unless(known, labels[place]) for place in spec.label_columns}
    )


def with_numbers(labels: ir.Table, spec: DatasetSpec, problems: Problems) -> ir.Table:
    """Labels with null in place of NaN.

    Raises:
        ValueError: in strict mode, for the first of those.
    """
    for place, name in spec.label_columns.items():
        if spec.is_number(name):
            number = labels[place]
            unread, reason = number.isnan(), f"no finite number in label column '{name}'"
            problems.report(labels, labels.filter(unread), reason, "__bad", advise=of_number)
            labels = labels.mutate(**{place: null_unless(~unread, number)})
    return labels


def with_limits(events: ir.Table, labels: ir.Table, spec: DatasetSpec) -> ir.Table:
    """Events with `__late`: whether they happen at or after the time of their sequence's label."""
    timed = labels.filter(any_label(labels, spec) & labels["__id"].notnull())
    limits = timed.group_by(__owner=timed["__id"]).aggregate(__limit=timed["__label_time"].min())
    joined = events.left_join(limits, events[spec.id].cast("string") == limits["__owner"])
    late = (joined["event_time"] >= joined["__limit"]).fill_null(False)
    return joined.mutate(__late=late).drop("__owner", "__limit")


def check_late(limited: ir.Table, spec: DatasetSpec, problems: Problems) -> None:
    """Count or raise for events of `with_limits` that come too late, as `after_label` says."""
    late = limited.filter(limited["__late"])
    reason = f"event at or after the label's time in column '{spec.label_time}'"
    if spec.after_label == "drop":
        problems.note(reason, late)
    else:
        problems.report(limited, late, reason, remedy=LATE)
