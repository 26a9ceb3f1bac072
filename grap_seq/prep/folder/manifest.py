"""The manifest of a prepared folder: what is in it, what was left out, where it came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from grap_seq.files import sha256, write_json
from grap_seq.terminal import visible

# Dotted name, expected count or range, found count (None: there is nothing of that name).
Difference = tuple[str, int | list[int], int | None]
MANIFEST = "manifest.json"
PLACES = {"total": "all splits", "dropped": "left out", "vocabularies": "values in training"}


@dataclass(frozen=True)
class Manifest:
    """Counts per split, dropped rows by reason, files with checksums, versions and source.

    `splits[name]` has `sequences`, `events`, `labelled` and `classes` (labels of each class, of
    which a sequence has one, or several with `local_labels`; none of a number), of the first
    label; of all others `labels[label]` has the two;
    `differences` lists counts that are not those of the recipe's expected.yaml, as (name, expected,
    found); `unseen` counts, for data prepared with `like`, the events of each field whose value is
    not in the vocabulary; `recipe` is what was given as `dataset`.
    """

    dataset: str
    splits: dict[str, dict[str, Any]]
    dropped: dict[str, int]
    source: dict[str, Any]
    files: dict[str, dict[str, Any]]
    spec_hash: str
    schema_hash: str
    versions: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unseen: dict[str, int] = field(default_factory=dict)
    # Earlier versions did not write it.
    recipe: str | None = None

    @property
    def data(self) -> str:
        """SHA-256 of what the folder holds: of the names and checksums of its files."""
        return _checksum({name: facts["sha256"] for name, facts in self.files.items()})

    def save(self, folder: Path) -> None:
        """Write manifest.json, with the checksum of its own content."""
        content = dataclasses.asdict(self)
        write_json(folder / MANIFEST, {**content, "checksum": _checksum(content)})

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read manifest.json.

        Raises:
            FileNotFoundError: the folder is not a (complete) prepared folder.
            ValueError: the file is damaged.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is not a prepared folder (no {MANIFEST}); make it with"
                " `grap-seq prepare`"
            )
        try:
            content = json.loads(path.read_text("utf-8"))
            # Earlier versions wrote none; any other key in its place is unknown below.
            checksum = content.pop("checksum", None)
            found = cls(**content)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(_damaged(path)) from error
        if checksum not in (None, _checksum(content)):
            raise ValueError(_damaged(path))
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Text, not strings, in which a console would look for markup.
        title = Text(visible(f"{self.dataset}, prepared"), "table.title")
        table = Table(title=title, title_justify="left")
        table.add_column("split")
        for name in ("sequences", "events", "labelled"):
            table.add_column(name, justify="right")
        table.add_column("classes")
        for name, split in self.splits.items():
            classes = "  ".join(f"{key}: {n:,}" for key, n in split["classes"].items())
            counts = (f"{split[key]:,}" for key in ("sequences", "events", "labelled"))
            table.add_row(name, *counts, _line(classes))
        yield table
        for label in self.splits["train"].get("labels", {}):
            counts = (
                f"{split} {facts['labels'][label]['labelled']:,}"
                for split, facts in self.splits.items()
            )
            yield _line(f"with the label {label}: {', '.join(counts)}")
        for reason, count in self.dropped.items():
            yield _line(f"left out: {count:,} ({reason})")
        events = sum(split["events"] for split in self.splits.values())
        for name, count in self.unseen.items():
            if count:
                share = f"{count:,} of {events:,} events, {count / events:.1%}"
                yield _line(f"not in the vocabulary of '{name}', coded as rare: {share}")
            if count == events:
                yield _warning(
                    f"no value of '{name}' is known; is it written "
                    "differently than in the data of like=?"
                )
        for warning in self.warnings:
            yield _warning(warning)
        if self.differences:
            yield _warning(
                "these counts are not those of the data that the recipe "
                "was written for (a sample and artificial data differ too); what they should be is "
                f"in data_prep/{self.dataset}/expected.yaml, where the data come from in README.md "
                "beside it"
            )
            yield _table(self.differences)


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Checksums of everything written but the manifest, and rows of the parts."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((MANIFEST, "work/", ".")):
            found[name] = {"sha256": sha256(path)}
            if path.suffix == ".parquet":
                found[name]["rows"] = pq.read_metadata(path).num_rows
    return found


def _checksum(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged; restore it from a copy, or delete {path.parent} and prepare the data"
        " again"
    )


def _line(text: str) -> Text:
    return Text(visible(text))


def _warning(text: str) -> Text:
    return Text.assemble(("warning:", "yellow"), f" {visible(text)}")


def _table(differences: list[Difference]) -> Table:
    table = Table("in", "count", title="expected counts", title_justify="left")
    for name in ("expected", "found", "difference"):
        table.add_column(name, justify="right")
    for key, expected, found in differences:
        where, _, what = key.removeprefix("splits.").partition(".")
        text, gap = _range(expected), ""
        if isinstance(expected, int) and expected and found is not None:
            gap = f"{(found - expected) / expected:+.1%}"
        row = (what.replace("classes.", "label "), text, f"{found or 0:,}", gap)
        table.add_row(PLACES.get(where, where), *row)
    return table


def _range(expected: int | list[int]) -> str:
    if isinstance(expected, int):
        return f"{expected:,}"
    low, high = expected
    return f"{low:,} to {high:,}" if low > 1 else f"at most {high:,}"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(
    splits: dict[str, dict[str, Any]],
    dropped: dict[str, int],
    vocabularies: dict[str, int],
    expected: Mapping[str, Any],
) -> list[Difference]:
    """Rows (dotted name, expected, found) for counts that differ from a recipe's expected.yaml.

    Beside the splits it may name their sum, `total`, for what is known of a dataset as a whole, the
    sizes of the `vocabularies`, and a range [low, high] where no exact count is known.
    """
    total: dict[str, int] = {}
    for split in splits.values():
        for key, n in _flat(split).items():
            total[key] = total.get(key, 0) + n
    content = {"splits": splits, "total": total, "dropped": dropped, "vocabularies": vocabularies}
    # What did not happen is not among the reasons.
    found = {f"dropped.{reason}": 0 for reason in expected.get("dropped", {})} | _flat(content)
    return [
        (key, wanted, found.get(key))
        for key, wanted in _flat(expected).items()
        if not _fits(found.get(key, 0), wanted)
    ]


def _fits(found: int, wanted: int | list[int]) -> bool:
    low, high = (wanted, wanted) if isinstance(wanted, int) else wanted
    return low <= found <= high
