"""Descriptions of tables with a mistake: changes of a right one."""

from __future__ import annotations

from typing import Any


def entries(key: str, *values: Any) -> list[tuple[str, dict[str, Any]]]:
    """Entries of a description, each with the key that the message has to name."""
    return [(key, {key: value}) for value in values]


def within(place: tuple[str, ...], *values: Any) -> list[tuple[str, dict[str, Any]]]:
    """The same inside of others."""
    *above, key = place
    found = entries(key, *values)
    for name in reversed(above):
        found = [(named, {name: change}) for named, change in found]
    return found


DESCRIPTIONS = [
    *entries("split", "abc", 5, [1]),
    *within(("split", "validation"), "abc", {"x": 5}, True, -0.1, 1),
    *within(("split", "test"), "10%", float("nan"), [0.1]),
    *within(("split", "seed"), "abc", 1.5, -1, True),
    *within(("split", "sed"), 1),
    *entries("validation", "abc"),
    *entries("x", 5),
    *entries("numerical", "amount", 5, [5], [["a"]], [None]),
    *within(("numerical", "amount"), 5, [1], "x"),
    *within(("numerical", "amount", "log"), "false", "maybe", 1),
    *within(("numerical", "amount", "clip"), 5, [1], [0.9, 0.1], ["a", 1], [0, 2]),
    *within(("numerical", "amount", "by"), 5, ["kind"], True),
    *within(("numerical", "amount", "lgo"), True),
    ("nothing", {"numerical": {"amount": {"by": "nothing"}}}),
    *entries("labels", ["a"], 5, {"a": 1}, True, "absent.csv"),
    *entries("time_format", 5, ["%Y"], True, "%Q", "abc"),
    *entries("time_unit", ["day"], 5, "days", True, {}),
    *(entry for key in ("name", "id", "time") for entry in entries(key, 5, ["a"], {}, "", True)),
    ("nothing", {"id": "nothing"}),
    ("nothing", {"time": "nothing"}),
    *(e for key in ("relative_time", "unique") for e in entries(key, "false", 1, [True])),
    *entries("local_labels", "maybe", 0),
    *(e for key in ("tie_order", "categorical") for e in entries(key, "kind", 5, [5], {}, [None])),
    *entries("calendar", "hour", ["day"], 5),
    *entries("label", 5, [5], True, {"a": 1}, [["a"]]),
    *entries("label_time", 5, ["a"], True, "when"),
    *entries("until", True, ["a"], {}, float("nan"), "nothing", "customer"),
    *entries("static", "a", 5, ["a"], {"categorical": "a"}, {"numbers": []}),
    *entries("metric", 5, ["auc"], "acc", {"churned": 5}, {"other": "auc"}),
]
