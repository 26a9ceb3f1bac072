"""What a prepared folder holds: the fields with their vocabulary sizes, all that a model needs.

Only the standard library and YAML are imported: reading a schema costs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from grap_seq.files import atomic_write
from grap_seq.names import nearest

TimeUnit = Literal["second", "minute", "hour", "day", "week"]
Metric = Literal["auc", "accuracy", "r2", "mae"]
# Of labels that are numbers: the others are of classes.
OF_NUMBERS: tuple[Metric, ...] = ("r2", "mae")
SPLITS = ("train", "val", "test")
# Columns that every prepared part has, where there are labels; and the class of no label.
TIME, LABEL, POSITION = "event_time", "label", "label_position"
# And where it is known up to when histories were observed.
UNTIL, LABEL_UNTIL = "until", "label_until"
UNLABELLED = -1


@dataclass(frozen=True)
class Field:
    """One event field. `size` counts the codes of a categorical one: padding, values, rare."""

    name: str
    kind: Literal["categorical", "numerical"]
    size: int | None = None
    by: str | None = None


@dataclass(frozen=True)
class Label:
    """What is predicted of a sequence: one of `classes`, or a number where there are none.

    A class is coded as its index, -1 where a sequence has none; a number by the mean and deviation
    of training, `(number - mean) / std`, NaN where a sequence has none.
    """

    name: str
    metric: Metric
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def outputs(self) -> int:
        """Values that predict it: one of each class, or the number."""
        return len(self.classes) or 1

    @property
    def missing(self) -> float:
        """The code of no label."""
        return UNLABELLED if self.classes else float("nan")

    @property
    def dtype(self) -> Literal["int64", "float32"]:
        """Of codes in memory."""
        return "int64" if self.classes else "float32"

    def known(self, codes: Any) -> Any:
        """Which of an array or tensor of codes are labels, as booleans of its shape."""
        # NaN differs from itself.
        return codes >= 0 if self.classes else codes == codes

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Label:
        return cls(**{**content, "classes": tuple(content["classes"])})


@dataclass(frozen=True)
class Schema:
    """The columns of a prepared folder, in the order in which events are sorted.

    The column `label` has the first of `labels`, `label:NAME` another one. With `local_labels` the
    column `label` is a list, and `label_position` gives for each label the index of the last event
    that it may be predicted from. With `until` the column `until` says up to when a sequence was
    observed, in the unit and from the origin of its times; `label_until` does of each of several
    labels: its own time. Fields in `static` have one value a sequence.
    """

    name: str
    id: str
    time_unit: TimeUnit
    fields: tuple[Field, ...]
    labels: tuple[Label, ...] = ()
    local_labels: bool = False
    until: bool = False
    static: tuple[Field, ...] = ()

    def label(self, name: str | None = None) -> Label | None:
        """A label by its name, by default the first; None where there is none.

        Raises:
            ValueError: no label of this name.
        """
        if name is None:
            return self.labels[0] if self.labels else None
        for label in self.labels:
            if label.name == name:
                return label
        names = [label.name for label in self.labels]
        raise ValueError(f"{self.name} has no label '{name}'; {nearest(name, names)}")

    def label_column(self, label: Label) -> str:
        """Column of a label in a prepared part."""
        return LABEL if label == self.labels[0] else f"{LABEL}:{label.name}"

    @property
    def categorical(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind == "categorical")

    @property
    def numerical(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind == "numerical")

    def to_dict(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        for name in ("fields", "static"):
            content[name] = [dataclasses.asdict(f) for f in getattr(self, name)]
        content["labels"] = [label.to_dict() for label in self.labels]
        # Folders without these keep the hash that they had before there were any.
        for name in ("local_labels", "until", "static"):
            if not content[name]:
                del content[name]
        return content

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a prepared part, in their order."""
        names = [self.id, TIME, *(field.name for field in (*self.fields, *self.static))]
        names += [UNTIL] if self.until else []
        names += [self.label_column(label) for label in self.labels] or [LABEL]
        names += [POSITION] if self.local_labels else []
        return (*names, *([LABEL_UNTIL] if self.local_labels and self.until else []))

    @property
    def hash(self) -> str:
        """SHA-256 of the content: equal for folders that one model can read."""
        return _hash(self.to_dict())

    def save(self, folder: Path) -> None:
        """Write schema.yaml, with its hash, into a folder."""
        content = {**self.to_dict(), "hash": self.hash}
        with atomic_write(folder / "schema.yaml") as temporary:
            temporary.write_text(
                yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8"
            )

    @classmethod
    def load(cls, folder: Path) -> Schema:
        """Read schema.yaml of a prepared folder or of a run.

        Raises:
            FileNotFoundError: the folder has none.
            ValueError: the file is damaged or was edited by hand (its hash does not fit).
        """
        path = folder / "schema.yaml"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is not a prepared folder (no schema.yaml); make it with "
                "`grap-seq prepare`"
            )
        content = _content(path)
        if content.pop("hash", None) != _hash(content):
            raise ValueError(f"{path} was changed after preparation; run `grap-seq prepare` again")
        if "labels" not in content:
            # An earlier version knew one label, of classes.
            name, classes, metric = (content.pop(key) for key in ("label", "classes", "metric"))
            content["labels"] = [] if name is None else [Label(name, metric, classes).to_dict()]
        for key in ("fields", "static"):
            content[key] = tuple(Field(**f) for f in content.get(key, ()))
        content["labels"] = tuple(Label.from_dict(label) for label in content["labels"])
        return cls(**content)


def _content(path: Path) -> dict[str, Any]:
    """What a YAML file says; nothing where damage has made something else of it."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _hash(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
