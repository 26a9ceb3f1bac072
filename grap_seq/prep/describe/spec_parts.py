"""Parts of a dataset's description, and how the values of its YAML are read and checked."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, get_args

import yaml

from grap_seq.kinds import MAPPING, SWITCH, TEXT, Kind, choice, number, whole
from grap_seq.names import nearest
from grap_seq.prep.stages.calendar import VALUES
from grap_seq.schema import OF_NUMBERS, Metric, TimeUnit

SECONDS: dict[TimeUnit, int] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
}
# Counts since 1970-01-01 by their name as a `time_format`, with the counts a second.
EPOCHS = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}
AfterLabel = Literal["error", "drop"]
AFTER_LABEL: tuple[AfterLabel, ...] = get_args(AfterLabel)
METRICS: tuple[Metric, ...] = ("auc", "accuracy", *OF_NUMBERS)


def _is_list(of: Kind) -> Any:
    return lambda value: isinstance(value, list | tuple) and all(of.accepts(one) for one in value)


def _is_format(value: Any) -> bool:
    # DuckDB's codes: those of strptime, parts without leading zeros, and fractions of seconds.
    codes = r"([^%]|%-?[aAbBcdfgGHIjmMnpSuUVwWxXyYzZ%])*"
    if not isinstance(value, str):
        return False
    return value in EPOCHS or ("%" in value and re.fullmatch(codes, value) is not None)


def _is_clip(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(number(0, 1).accepts(share) for share in value) and value[0] < value[1]


COLUMN = Kind("the name of a column, in quotes where YAML reads something else", TEXT.accepts)
COLUMNS = Kind("a list of column names such as [a, b]", _is_list(TEXT))
KINDS = {
    "name": Kind("a name", TEXT.accepts),
    "id": COLUMN,
    "time": COLUMN,
    "time_format": Kind(
        "a format such as '%d.%m.%Y %H:%M', in the codes of strftime, or "
        f"{', '.join(EPOCHS)} for a count since 1970",
        _is_format,
    ),
    "time_unit": choice(*SECONDS),
    "na_values": Kind(
        "a list of cells such as [NA, '-', -999]",
        _is_list(Kind("", lambda value: TEXT.accepts(value) or number().accepts(value))),
    ),
    "decimal": choice(".", ","),
    **dict.fromkeys(("relative_time", "unique", "local_labels"), SWITCH),
    **dict.fromkeys(("tie_order", "categorical"), COLUMNS),
    "calendar": Kind(f"a list with some of {', '.join(VALUES)}", _is_list(choice(*VALUES))),
    "numerical": Kind(
        "a list of column names, or pairs such as {amount: {log: true}}",
        lambda value: COLUMNS.accepts(value) or isinstance(value, Mapping),
    ),
    "label": Kind(
        "the name of a column, or a list of them",
        lambda value: TEXT.accepts(value) or COLUMNS.accepts(value),
    ),
    "labels": Kind("the path of one file", TEXT.accepts),
    "label_time": COLUMN,
    "after_label": choice(*AFTER_LABEL),
    "until": Kind(
        "a date, a number where times are numbers, the name of a column, or newest",
        lambda value: TEXT.accepts(value) or number().accepts(value) or isinstance(value, date),
    ),
    "static": Kind("categorical: [...] and numerical: [...]", MAPPING.accepts),
    "metric": Kind(
        "a metric, or one for each label such as {spent: mae}",
        lambda value: isinstance(value, str | Mapping),
    ),
    "split": Kind("pairs such as {validation: 0.15, test: 0.15, seed: 42}", MAPPING.accepts),
}
NUMERICAL = {
    "by": COLUMN,
    "clip": Kind("two quantiles such as [0.005, 0.995]", _is_clip),
    "log": SWITCH,
}
STATIC = {name: KINDS[name] for name in ("categorical", "numerical")}
SHARE = number(0, 1, below=True)
SPLIT = {"validation": SHARE, "test": SHARE, "seed": whole()}


class UniqueKeys(yaml.SafeLoader):
    """Plain values of YAML, where no mapping has a key twice: the first one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Other keys than plain ones are refused below.
        plain = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        times = Counter(key.value for key in plain)
        for key in plain:
            if times[key.value] > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def checked(given: Mapping[Any, Any], kinds: Mapping[str, Kind], where: str) -> dict[str, Any]:
    """The entries of a mapping that are not null.

    Raises:
        ValueError: an unknown key, or a value of another kind; names `where`, key and remedy.
    """
    for key, value in given.items():
        if key not in kinds:
            raise ValueError(f"{where}: unknown key '{key}'; {nearest(str(key), kinds)}")
        if value is not None:
            kinds[key].check(f"{where}: {key}: {reprlib.repr(value)}", value)
    return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True)
class Numerical:
    """How one numerical column is scaled: log first, then clip, then standardise."""

    by: str | None = None
    clip: tuple[float, float] = (0.005, 0.995)
    log: bool = False


@dataclass(frozen=True)
class Static:
    """Fields with one value a sequence."""

    categorical: tuple[str, ...] = ()
    numerical: dict[str, Numerical] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.categorical, *self.numerical)

    @classmethod
    def from_plain(cls, given: Mapping[str, Any], where: str) -> Static:
        """From a mapping as it stands in YAML."""
        values = checked(given, STATIC, where)
        fields = numerical(values.get("numerical", []), where)
        return cls(tuple(values.get("categorical", ())), fields)


@dataclass(frozen=True)
class Split:
    """Shares of the sequences; the rest is for training."""

    validation: float = 0.15
    test: float = 0.15
    seed: int = 42

    @classmethod
    def from_plain(cls, given: Mapping[str, Any], where: str) -> Split:
        """From a mapping as it stands in YAML."""
        return cls(**checked(given, SPLIT, where))


def numerical(given: Any, where: str) -> dict[str, Numerical]:
    """Numerical fields from a list of names, or a mapping from names to options."""
    if not isinstance(given, Mapping):
        return {name: Numerical() for name in given}
    fields = {}
    for name, options in given.items():
        place = f"{where}, numerical field '{name}'"
        if options is not None:
            MAPPING.check(f"{place}: {reprlib.repr(options)}", options)
        values = checked(options or {}, NUMERICAL, place)
        if "clip" in values:
            values["clip"] = tuple(values["clip"])
        fields[str(name)] = Numerical(**values)
    return fields


def metrics(given: Any, labels: tuple[str, ...], where: str) -> dict[str, Metric]:
    """Metric by label; with one label it may stand alone."""
    if not isinstance(given, Mapping):
        if len(labels) != 1:
            raise ValueError(
                f"{where}: metric {given!r}, for which of {', '.join(labels) or 'no labels'}? With "
                "several labels write metric: {LABEL: METRIC}"
            )
        given = {labels[0]: given}
    return {**checked(given, dict.fromkeys(labels, choice(*METRICS)), f"{where}, metric")}
