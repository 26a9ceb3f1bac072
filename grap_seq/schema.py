"""What a prepared folder holds: the fields with their vocabulary sizes, all that a model needs.

Only the standard library and YAML are imported: reading a schema costs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from grap_seq.files import atomic_write

TimeUnit = Literal["second", "minute", "hour", "day", "week"]
Metric = Literal["auc", "accuracy"]
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
class Schema:
    """The columns of a prepared folder, in the order in which events are sorted.

    With `local_labels` the column `label` is a list, and `label_position` gives for each label the
    index of the last event that it may be predicted from. With `until` the column `until` says up
    to when a sequence was observed, in the unit and from the origin of its times; `label_until`
    does of each of several labels: its own time. Fields in `static` have one value a sequence.
    """

    name: str
    id: str
    time_unit: TimeUnit
    fields: tuple[Field, ...]
    label: str | None = None
    classes: tuple[str, ...] = ()
    metric: Metric | None = None
    local_labels: bool = False
    until: bool = False
    static: tuple[Field, ...] = ()

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
        content["classes"] = list(self.classes)
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
        names += [LABEL, POSITION] if self.local_labels else [LABEL]
        return (*names, *([LABEL_UNTIL] if self.local_labels and self.until else []))

    @property
    def hash(self) -> str:
        """SHA-256 of the content: equal for folders that one model can read."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

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
            ValueError: the file was edited by hand (its hash does not fit).
        """
        path = folder / "schema.yaml"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is not a prepared folder (no schema.yaml); make it with "
                "`grap-seq prepare`"
            )
        content = cast(dict[str, Any], yaml.safe_load(path.read_text("utf-8")))
        written = content.pop("hash", None)
        for name in ("fields", "static"):
            content[name] = tuple(Field(**f) for f in content.get(name, ()))
        content["classes"] = tuple(content["classes"])
        schema = cls(**content)
        if schema.hash != written:
            raise ValueError(f"{path} was changed after preparation; run `grap-seq prepare` again")
        return schema
