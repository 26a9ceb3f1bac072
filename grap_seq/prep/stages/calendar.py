"""Fields made from the time of an event: hour, weekday and month of UTC, in their natural order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Every value there is, in the order of the codes: a vocabulary that is not fitted.
VALUES: dict[str, tuple[str, ...]] = {
    "hour": tuple(map(str, range(24))),
    "weekday": WEEKDAYS,
    "month": tuple(map(str, range(1, 13))),
}


def calendar_field(name: str, moment: ir.TimestampValue) -> ir.StringValue:
    """A field of `VALUES` as text; null where the moment is."""
    if name == "weekday":
        return moment.day_of_week.full_name()
    return (moment.hour() if name == "hour" else moment.month()).cast("string")
