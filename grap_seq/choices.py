"""Groups of settings that one file each has values for: `encoder=gru`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from grap_seq import resources
from grap_seq.names import nearest

GROUPS = ("dataset", "encoder", "objective", "weighting", "mode", "trainer", "data", "backbone")
# Weightings that only one kind of losses has: All4One's own, and those of a search over events.
OF_IMAGES, OF_EVENTS = ("default",), ("searched",)


def names(group: str, own: Path | None = None, command: str = "pretrain") -> list[str]:
    """Names that `group=` accepts.

    Args:
        group: one of `GROUPS`.
        own: a folder of the user's with the same layout.
        command: whose they are.
    """
    folders = [resources.folder("configs"), *([own] if own else [])]
    found = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    others = OF_EVENTS if command == "vision" else OF_IMAGES
    return sorted(found - {*others} if group == "weighting" else found)


def groups_of(command: str) -> list[str]:
    """The groups that a command has."""
    path = resources.folder("configs") / f"{command}.yaml"
    defaults = (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", [])
    return [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]


def chosen(
    command: str, groups: Sequence[str], given: Sequence[tuple[str, str]], own: Path | None
) -> dict[str, str]:
    """The choices by group of a command.

    Raises:
        ValueError: an unknown choice, two of one group, or a mode and a weighting that is not its.
    """
    found: dict[str, str] = {}
    for key, value in given:
        if key not in groups:
            continue
        if value not in names(key, own, command):
            raise ValueError(f"{key}={value}: {nearest(value, names(key, own, command))}")
        if found.setdefault(key, value) != value:
            raise ValueError(f"{key}={found[key]} and {key}={value}: give one of them")
    mode, weighting = found.get("mode", "pretrain"), found.get("weighting")
    if mode != "pretrain" and weighting not in (None, mode):
        raise ValueError(
            f"mode={mode} and weighting={weighting}: {mode} training chooses its own weighting;"
            f" leave out one of them"
        )
    return found
