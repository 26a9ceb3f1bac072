"""A reference reader of coder.json: raw events to the inputs of an exported model.

It needs numpy alone, so that it can be read, copied and written anew in another language.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import numpy as np

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def inputs(
    coder: dict[str, Any], histories: list[list[dict[str, Any]]], until: list[Any] | None = None
) -> dict[str, Any]:
    """Inputs of the model, by name.

    Args:
        coder: content of coder.json.
        histories: of each row its events, in any order, as dicts by column.
        until: up to when each row was observed, where `coder["until"]`.
    """
    rows = [_row(coder, events) for events in histories]
    longest = max(len(times) for times, _ in rows)
    found: dict[str, Any] = {
        "times": np.array([_padded(times, longest, 0.0) for times, _ in rows], np.float64),
        "lengths": np.array([len(times) for times, _ in rows], np.int64),
    }
    for place, field in enumerate(coder["fields"]):
        kind, empty = (np.int64, 0) if "codes" in field else (np.float32, 0.0)
        cells = [values[place] for _, values in rows]
        if not field.get("static"):
            cells = [_padded(cell, longest, empty) for cell in cells]
        found[field["input"]] = np.array(cells, kind)
    if coder["until"]:
        moments = [time(coder, moment) for moment in until or []]
        if coder["relative_time"]:
            firsts = [min(time(coder, e[coder["time"]]) for e in events) for events in histories]
            moments = [moment - first for moment, first in zip(moments, firsts, strict=True)]
        found["until"] = np.array(moments, np.float64)
    return found


def _row(coder: dict[str, Any], events: list[dict[str, Any]]) -> tuple[list[float], list[Any]]:
    """Times of the last events, and the values of every field: a list, of static ones one value."""
    coded = []
    for event in events:
        moment = time(coder, event[coder["time"]])
        ties = [-math.inf if event[name] is None else event[name] for name in coder["tie_order"]]
        coded.append(([moment, *ties], _values(coder, event)))
    places = [n for n, field in enumerate(coder["fields"]) if not field.get("static")]
    # A missing number comes last among its equals.
    coded.sort(key=lambda c: [*c[0], *((c[1][n] != c[1][n], c[1][n]) for n in places)])
    first = coded[0][0][0] if coder["relative_time"] else 0.0
    kept = coded[-coder["events"] :]
    fields = [
        kept[-1][1][n] if field.get("static") else [values[n] for _, values in kept]
        for n, field in enumerate(coder["fields"])
    ]
    return [key[0] - first for key, _ in kept], fields


def _values(coder: dict[str, Any], event: dict[str, Any]) -> list[Any]:
    codes, values = {}, []
    for field in coder["fields"]:
        cell = event.get(field["name"])
        if "codes" in field:
            if field.get("calendar"):
                cell = _calendar(field["name"], event[coder["time"]])
            text = as_text(cell)
            code = field["missing"] if text is None else field["codes"].get(text, field["rare"])
            codes[field["name"]] = code
            values.append(code)
            continue
        scale = field["scales"][codes[field["by"]] - 1 if field["by"] else 0]
        number = math.nan if cell is None else float(cell)
        if field["log"]:
            number = math.copysign(math.log(abs(number) + 1), number)
        # Comparisons with NaN are false: a missing number stays one.
        number = scale["low"] if number < scale["low"] else number
        number = scale["high"] if number > scale["high"] else number
        values.append((number - scale["mean"]) / scale["std"])
    return values


def as_text(cell: Any) -> str | None:
    """Text of a category: 7, 7.0 and "7.0" are "7", True is "true", and "" is missing."""
    if cell is None or cell == "" or cell != cell:
        return None
    text = str(cell)
    if text.lower() in ("true", "false"):
        return text.lower()
    head, point, tail = text.partition(".")
    whole = point and tail and not tail.strip("0") and head.lstrip("-").isdigit()
    return head if whole else text


def time(coder: dict[str, Any], moment: Any) -> float:
    """A moment in the model's unit: a number as it is, a date since 1970 in UTC."""
    if coder["time_kind"] == "number":
        return float(moment)
    return _date(moment).timestamp() / float(coder["seconds_per_unit"])


def _date(moment: Any) -> datetime:
    date = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _calendar(name: str, moment: Any) -> str:
    date = _date(moment).astimezone(timezone.utc)
    return {"hour": str(date.hour), "weekday": WEEKDAYS[date.weekday()], "month": str(date.month)}[
        name
    ]


def _padded(values: list[Any], length: int, empty: float) -> list[Any]:
    return [*values, *[empty] * (length - len(values))]
