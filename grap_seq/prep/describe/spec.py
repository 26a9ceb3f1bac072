"""What a dataset is, as people describe it: a short YAML file, the same for our recipes and for a
user's own table. `grap_seq.schema` is its counterpart after preparation.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from grap_seq.names import nearest
from grap_seq.prep.describe.spec_parts import (
    KINDS,
    AfterLabel,
    Numerical,
    Split,
    Static,
    UniqueKeys,
    checked,
    metrics,
    numerical,
)
from grap_seq.schema import LABEL, OF_NUMBERS, Metric, TimeUnit

# Columns that prepared folders have beside the id and the fields.
RESERVED = ("event_time", "until", "label", "label_position", "label_until")
# The `until` that stands for the newest event of a table.
NEWEST = "newest"


@dataclass(frozen=True)
class DatasetSpec:
    """The YAML description of a dataset: columns, label and split.

    `tie_order` names number columns that order the events of one moment before the fields do;
    `relative_time` counts each sequence's times from its first event; `unique` says that no event
    occurs twice, so that a repeated row is an error and not a second event. `calendar` names
    categorical fields that are made from the time: hour, weekday, month. `label_time` is the column
    beside the label with the moment, in the form of `time`, from which on events must not be seen
    (`after_label` says what becomes of those that are there); with `local_labels` a sequence has a
    label for each of several such moments. `until` says up to when histories were observed: a date
    (a number where times are numbers), the name of a column of the label file or of the events, or
    "newest". `static` names fields with one value a sequence, columns of the label file or of the
    events.

    `na_values` has the cells that mean a missing value, `decimal` the decimal sign of numbers that
    are text.

    `label` has the names of labels, each predicted by itself; `metric` what some of them are scored
    by, which also says whether a label is a number (`OF_NUMBERS`) or a class.
    """

    name: str
    id: str
    time: str
    time_format: str | None = None
    time_unit: TimeUnit = "day"
    na_values: tuple[str, ...] = ()
    decimal: str = "."
    relative_time: bool = False
    unique: bool = False
    tie_order: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    calendar: tuple[str, ...] = ()
    numerical: dict[str, Numerical] = field(default_factory=dict)
    label: tuple[str, ...] = ()
    labels: str | None = None
    label_time: str | None = None
    after_label: AfterLabel = "error"
    local_labels: bool = False
    until: str | float | None = None
    static: Static = field(default_factory=Static)
    metric: dict[str, Metric] = field(default_factory=dict)
    split: Split = field(default_factory=Split)

    @property
    def until_column(self) -> str | None:
        """The column that `until` names; None where it is a date, a number or "newest"."""
        until = self.until
        if not isinstance(until, str) or until == NEWEST or self.moment(until) is not None:
            return None
        return until

    @property
    def facts(self) -> dict[str, str]:
        """Columns with one value a sequence, and what they are called while working."""
        until = {} if self.until_column is None else {self.until_column: "__until"}
        return {**until, **{name: name for name in self.static.names}}

    def with_until(self, until: str | float | date, *, fitted: bool = True) -> DatasetSpec:
        """The same with another `until`; where it is `fitted` to a model, in place of one.

        Raises:
            ValueError: the description of a model has none, or the new one is none.
        """
        if fitted and self.until is None:
            raise ValueError(
                f"until={until}: the description of {self.name} had no 'until' when the model was "
                "made, so it has no use for one; leave it out, or prepare and train with one"
            )
        text = until.isoformat() if isinstance(until, date) else until
        spec = dataclasses.replace(self, until=text)
        spec._check_until("until=")
        return spec

    def moment(self, text: str) -> datetime | None:
        """The date and time that a text says, in `time_format` or in ISO form; None: it is none."""
        try:
            if self.time_format is not None:
                return datetime.strptime(text, self.time_format)
        except ValueError:
            pass
        try:
            # Python 3.10 does not know the Z.
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None

    @property
    def categories(self) -> tuple[str, ...]:
        """Categorical fields: columns, and what is made from the time."""
        return (*self.categorical, *self.calendar)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the events table must have, the label column excepted."""
        names = (self.id, self.time, *self.tie_order, *self.categorical, *self.numerical)
        return tuple(dict.fromkeys(names))

    @property
    def event_columns(self) -> tuple[str, ...]:
        """`columns` but the id: what differs between the events of a sequence."""
        return tuple(name for name in self.columns if name != self.id)

    @property
    def ties(self) -> dict[str, str]:
        """Working column of each `tie_order` column, which may also be a field."""
        return {f"__tie{place}": name for place, name in enumerate(self.tie_order)}

    @property
    def label_columns(self) -> dict[str, str]:
        """Working column of each label."""
        return {f"__label{place}": name for place, name in enumerate(self.label)}

    def is_number(self, label: str) -> bool:
        """Whether a label is a number and no class."""
        return self.metric.get(label) in OF_NUMBERS

    @classmethod
    def load(cls, path: Path) -> DatasetSpec:
        """Read a spec from YAML.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not YAML, unknown or missing keys, or values that contradict each other.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no dataset description at {path}; write one or use --suggest")
        try:
            content = yaml.load(path.read_text("utf-8"), UniqueKeys)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid YAML: {error}") from error
        return cls.from_dict(content, str(path))

    @classmethod
    def from_dict(cls, content: Any, where: str = "dataset spec") -> DatasetSpec:
        """Build a spec from plain values, as they stand in YAML or in vocab.json."""
        if not isinstance(content, Mapping):
            raise ValueError(f"{where}: expected 'key: value' lines, found {reprlib.repr(content)}")
        values = checked(content, KINDS, where)
        for key in ("name", "id", "time"):
            if key not in values:
                raise ValueError(f"{where}: key '{key}' is missing; give a name")
        if isinstance(values.get("until"), date):  # YAML reads dates; a datetime is one
            values["until"] = values["until"].isoformat()
        for key in ("tie_order", "categorical", "calendar"):
            values[key] = tuple(values.get(key, ()))
        values["na_values"] = tuple(map(str, values.get("na_values", ())))
        label = values.get("label", ())
        values["label"] = (label,) if isinstance(label, str) else tuple(label)
        values["numerical"] = numerical(values.get("numerical", []), where)
        values["static"] = Static.from_plain(values.get("static", {}), f"{where}, static")
        values["metric"] = metrics(values.get("metric", {}), values["label"], where)
        values["split"] = Split.from_plain(values.get("split", {}), f"{where}, split")
        spec = cls(**values)
        spec._check(where)
        return spec

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        content = dataclasses.asdict(self)
        content["na_values"] = list(self.na_values)
        content["categorical"] = list(self.categorical)
        content["calendar"] = list(self.calendar)
        content["tie_order"] = list(self.tie_order)
        content["label"] = list(self.label)
        content["static"]["categorical"] = list(self.static.categorical)
        for options in (*content["numerical"].values(), *content["static"]["numerical"].values()):
            options["clip"] = list(options["clip"])
        return content

    def _check(self, where: str) -> None:
        self._check_calendar(where)
        fields = (*self.categories, *self.numerical)
        if not fields:
            raise ValueError(f"{where}: name at least one categorical or numerical field")
        fields = (*fields, *self.static.names)
        used = (self.id, self.time, *fields)
        for name, times in Counter(used).items():
            if times > 1:
                raise ValueError(f"{where}: column '{name}' is used twice; keep one of its uses")
            if [*map(str.lower, used)].count(name.lower()) > 1:
                raise ValueError(
                    f"{where}: another column in use differs from '{name}' only in case, which SQL "
                    "does not tell apart; rename one"
                )
        for name in (self.id, *fields):
            if name.lower() in RESERVED or name.startswith(("__", f"{LABEL}:")):
                raise ValueError(
                    f"{where}: '{name}' is a name that preparation uses itself; rename your column"
                )
        for name in self.label:
            if name in (*used, *self.tie_order):
                raise ValueError(
                    f"{where}: the label '{name}' is also an input column; remove it there"
                )
            if self.label.count(name) > 1:
                raise ValueError(f"{where}: the label '{name}' is named twice")
        if self.labels is not None and not self.label:
            raise ValueError(f"{where}: 'labels' names a file; name its column with 'label' too")
        if self.label_time is not None and self.label_time in (*used, *self.tie_order, *self.label):
            raise ValueError(
                f"{where}: label_time '{self.label_time}' is also the label or an input column; "
                "give the label's time a column of its own"
            )
        if self.label_time is not None and not self.label:
            raise ValueError(f"{where}: 'label_time' needs a label; name its column with 'label'")
        if self.after_label == "drop" and (self.label_time is None or self.local_labels):
            raise ValueError(
                f"{where}: after_label leaves out events from the time of a sequence's only label "
                "on; name its column with 'label_time', without local_labels"
            )
        if self.local_labels and self.label_time is None:
            raise ValueError(
                f"{where}: local_labels says that a sequence has several labels; name the column "
                "with the time of each as 'label_time'"
            )
        if self.local_labels and len(self.label) > 1:
            raise ValueError(
                f"{where}: local_labels takes one label; name one of {', '.join(self.label)} as "
                "'label', and prepare another folder for each of the others"
            )
        self._check_until(where)
        _check_by(self.numerical, self.categories, f"{where}: numerical field")
        _check_by(
            self.static.numerical, self.static.categorical, f"{where}: static numerical field"
        )
        shares = (self.split.validation, self.split.test)
        if sum(shares) >= 1:
            raise ValueError(
                f"{where}: split shares {shares} leave nothing for training; "
                "give validation and test shares with a sum below 1"
            )

    def _check_calendar(self, where: str) -> None:
        if self.calendar and self.relative_time:
            raise ValueError(
                f"{where}: calendar needs dates, and relative_time counts from the first event of "
                "a sequence; keep one of them"
            )

    def _check_until(self, where: str) -> None:
        if self.until is None:
            return
        column = self.until_column
        fields = (*self.categories, *self.numerical, *self.static.names)
        taken = (self.id, self.time, *self.label, *fields)
        if column is not None and column in taken:
            raise ValueError(
                f"{where}: until '{column}' is also the id, the time, the label or a field; the "
                "date up to which a sequence was observed has a column of its own"
            )


def _check_by(fields: Mapping[str, Numerical], categories: tuple[str, ...], what: str) -> None:
    for name, options in fields.items():
        if options.by is not None and options.by not in categories:
            raise ValueError(
                f"{what} '{name}' is scaled by '{options.by}', which is not a categorical field "
                f"beside it; {nearest(options.by, categories)}"
            )
