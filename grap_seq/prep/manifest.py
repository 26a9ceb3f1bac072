"""The manifest of a prepared folder: what is in it, what was left out, where it came from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from grap_seq.files import write_json


@dataclass(frozen=True)
class Manifest:
    """Counts per split, dropped rows by reason, files with checksums, versions and source.

    `splits[name]` has `sequences`, `events`, `labelled` and `classes` (sequences of each class).
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

    def save(self, folder: Path) -> None:
        write_json(folder / "manifest.json", dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read manifest.json.

        Raises:
            FileNotFoundError: the folder is not a (complete) prepared folder.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no manifest.json; make it with `grap-seq prepare`"
            )
        return cls(**json.loads(path.read_text("utf-8")))

    def counts(self) -> dict[str, int]:
        """All counts under dotted names, as in a recipe's expected.yaml."""
        return {
            **_flat({"splits": self.splits}),
            **_flat({"dropped": self.dropped}),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=f"{self.dataset}, prepared", title_justify="left")
        table.add_column("split")
        for name in ("sequences", "events", "labelled"):
            table.add_column(name, justify="right")
        table.add_column("classes")
        for name, split in self.splits.items():
            classes = "  ".join(f"{key}: {n:,}" for key, n in split["classes"].items())
            counts = (f"{split[key]:,}" for key in ("sequences", "events", "labelled"))
            table.add_row(name, *counts, classes)
        yield table
        for reason, count in self.dropped.items():
            yield f"left out: {count:,} ({reason})"
        for warning in self.warnings:
            yield f"[yellow]warning:[/yellow] {warning}"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    flat: dict[str, int] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(manifest: Manifest, expected: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Rows (count, expected, found) that differ from a recipe's expected.yaml."""
    found = manifest.counts()
    wanted = _flat(expected)
    return [(key, n, found.get(key)) for key, n in wanted.items() if found.get(key) != n]


def differences_table(rows: list[tuple[str, Any, Any]]) -> Table:
    """The rows of `differences` as a table to print."""
    table = Table(title="counts that differ from the recipe's", title_justify="left")
    table.add_column("count")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    for name, expected, found in rows:
        table.add_row(name, str(expected), str(found))
    return table
