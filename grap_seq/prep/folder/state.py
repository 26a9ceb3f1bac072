"""Everything that preparation fitted, as one JSON file: vocab.json.

It is written once, read by `encode` for new events, and copied into every run folder, so that
training and use later cannot differ.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grap_seq.files import write_json
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.verify import check_file, verify
from grap_seq.schema import Field, Label, Metric, Schema

if TYPE_CHECKING:
    from grap_seq.prep.stages.times import TimeKind

# Differences that a message names.
MAX_NAMED = 4


@dataclass(frozen=True)
class Statistics:
    """Bounds, mean and standard deviation (after the logarithm and clipping) of training values."""

    low: float
    high: float
    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class Scaler:
    """Scaling of one numerical field.

    `groups` has one entry for each vocabulary value of the field `by`, None where a value came
    without numbers; `other` serves those, rare values, and fields without `by`. `missing` counts
    training events without a number; None: an earlier version did not count them.
    """

    log: bool
    by: str | None
    other: Statistics
    groups: tuple[Statistics | None, ...] = ()
    missing: int | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest number as prepared: clipped and standardised."""
        parts = [group for group in (*self.groups, self.other) if group is not None]
        return (
            min((part.low - part.mean) / part.std for part in parts),
            max((part.high - part.mean) / part.std for part in parts),
        )


def class_metric(classes: Sequence[str]) -> Metric:
    """What a label of these classes is scored by, unless its description says so."""
    return "auc" if len(classes) == 2 else "accuracy"


@dataclass(frozen=True)
class State:
    """Vocabularies by falling training frequency (None = missing), scalers, labels, spec.

    Those of event fields, then those of static ones, fitted with every sequence counting once.
    """

    spec: DatasetSpec
    categorical: dict[str, tuple[str | None, ...]]
    numerical: dict[str, Scaler]
    labels: tuple[Label, ...]
    id_type: Literal["int64", "string"]
    time_kind: TimeKind
    static_categorical: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    static_numerical: dict[str, Scaler] = field(default_factory=dict)

    def schema(self) -> Schema:
        """The schema that belongs to these vocabularies."""
        spec = self.spec
        return Schema(
            name=spec.name,
            id=spec.id,
            time_unit=spec.time_unit,
            fields=_fields(self.categorical, self.numerical),
            labels=self.labels,
            local_labels=spec.local_labels,
            until=spec.until is not None,
            static=_fields(self.static_categorical, self.static_numerical),
        )

    def to_dict(self) -> dict[str, Any]:
        static = _plain(self.static_categorical, self.static_numerical)
        return {
            **_plain(self.categorical, self.numerical),
            **({"static": static} if self.spec.static.names else {}),
            "labels": [label.to_dict() for label in self.labels],
            "split": dataclasses.asdict(self.spec.split),
            "id": {"type": self.id_type},
            "time": {"kind": self.time_kind},
            "spec": self.spec.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> State:
        static = content.get("static", {"categorical": {}, "numerical": {}})
        return cls(
            spec=DatasetSpec.from_dict(content["spec"], "vocab.json"),
            categorical={name: tuple(v) for name, v in content["categorical"].items()},
            numerical={name: _scaler(s) for name, s in content["numerical"].items()},
            static_categorical={name: tuple(v) for name, v in static["categorical"].items()},
            static_numerical={name: _scaler(s) for name, s in static["numerical"].items()},
            labels=tuple(Label.from_dict(label) for label in _labels(content)),
            id_type=content["id"]["type"],
            time_kind=content["time"]["kind"],
        )

    def coding(self) -> dict[str, Any]:
        """What a model's input depends on beside the raw events, by what to call it."""
        parts: dict[str, Any] = {
            "kind of times": self.time_kind,
            "relative_time": self.spec.relative_time,
        }
        for name, values in (self.categorical | self.static_categorical).items():
            parts[f"vocabulary of '{name}'"] = list(values)
        for name, scaler in (self.numerical | self.static_numerical).items():
            parts[f"scaler of '{name}'"] = dataclasses.asdict(scaler)
        for label in self.labels:
            parts[f"label '{label.name}'"] = label.to_dict()
        return parts

    @property
    def codes(self) -> str:
        """SHA-256 of `coding`: equal for folders whose codes and numbers mean the same."""
        text = json.dumps(self.coding(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        write_json(folder / "vocab.json", self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> State:
        """Read vocab.json of a prepared folder or of a run.

        Raises:
            FileNotFoundError: the folder has none.
            ValueError: it is damaged.
        """
        path = folder / "vocab.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is neither a prepared folder nor a run (no vocab.json); make one with "
                "`grap-seq prepare`"
            )
        check_file(folder, path.name)
        return cls.from_dict(json.loads(path.read_text("utf-8")))


def check_codes(prepared: Path, run: Path) -> None:
    """Refuse data with other fields or other codes than those that a run was trained on.

    Names and sizes of two vocabularies may agree: a model reads both, and one of them is nonsense.

    Raises:
        FileNotFoundError: one of them has no schema.yaml or vocab.json.
        ValueError: they differ, says in what; or a file is damaged.
    """
    verify(prepared)
    remedy = (
        f"prepare it with `grap-seq prepare ... like={run}`, or name the right folder with"
        " prepared="
    )
    if Schema.load(prepared).hash != Schema.load(run).hash:
        raise ValueError(f"{prepared} has another schema than {run} was trained on; {remedy}")
    given, learned = State.load(prepared).coding(), State.load(run).coding()
    differ = [name for name in learned if given.get(name) != learned[name]]
    differ += [name for name in given if name not in learned]
    if differ:
        more = f" and {len(differ) - MAX_NAMED} more" if len(differ) > MAX_NAMED else ""
        raise ValueError(
            f"{prepared} is coded otherwise than the data that {run} was trained on, in the"
            f" {', the '.join(differ[:MAX_NAMED])}{more}; {remedy}"
        )


def _fields(
    categorical: Mapping[str, tuple[str | None, ...]], numerical: Mapping[str, Scaler]
) -> tuple[Field, ...]:
    codes = (Field(name, "categorical", size=len(v) + 2) for name, v in categorical.items())
    return (*codes, *(Field(name, "numerical", by=s.by) for name, s in numerical.items()))


def _plain(
    categorical: Mapping[str, tuple[str | None, ...]], numerical: Mapping[str, Scaler]
) -> dict[str, Any]:
    return {
        "categorical": {name: list(values) for name, values in categorical.items()},
        "numerical": {name: dataclasses.asdict(s) for name, s in numerical.items()},
    }


def _labels(content: dict[str, Any]) -> list[dict[str, Any]]:
    if "labels" in content:
        return list(content["labels"])
    # An earlier version knew one label, of classes.
    name, classes = content["spec"]["label"], content["label"]["classes"]
    metric = content["spec"]["metric"] or class_metric(classes)
    return [] if name is None else [Label(name, metric, classes).to_dict()]


def _scaler(content: dict[str, Any]) -> Scaler:
    groups = tuple(None if g is None else Statistics(**g) for g in content["groups"])
    return Scaler(
        log=content["log"],
        by=content["by"],
        other=Statistics(**content["other"]),
        groups=groups,
        missing=content.get("missing"),
    )
