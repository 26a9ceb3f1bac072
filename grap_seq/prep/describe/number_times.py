"""Numbers that are times: dates written as one number, and counts since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from grap_seq.prep.describe.spec_parts import EPOCHS

# Formats of dates that are one number, by its digits.
PACKED = {6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
YEARS = (1900, 2100)
# Seconds since 1970 of the years 2001 to 2099: no unit has a count that is one in another unit.
RANGE = (1e9, 4.1e9)
WORDS = {
    **dict.fromkeys(PACKED.values(), "dates"),
    "epoch_s": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
    "epoch_us": "microseconds since 1970",
    "epoch_ns": "nanoseconds since 1970",
}


def looks_like(numbers: Sequence[float]) -> str | None:
    """The `time_format` of numbers that are no plain counts; None: they may be some.

    Args:
        numbers: some cells of a column, finite.
    """
    if not numbers:
        return None
    digits = len(str(int(numbers[0])))
    if digits in PACKED and all(_is_date(number, digits) for number in numbers):
        return PACKED[digits]
    middle = median(numbers)
    for name, rate in EPOCHS.items():
        if RANGE[0] * rate <= middle < RANGE[1] * rate:
            return name
    return None


def _is_date(number: float, digits: int) -> bool:
    text = str(int(number))
    if number != int(number) or len(text) != digits:
        return False
    try:
        return YEARS[0] <= datetime.strptime(text, PACKED[digits]).year <= YEARS[1]
    except ValueError:
        return False
