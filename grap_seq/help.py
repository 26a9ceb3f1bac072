"""What `grap-seq COMMAND --help` prints: every setting with its default, its kind and one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grap_seq import choices, config, resources, settings
from grap_seq.kinds import MAPPING, like

TRAINING = ("pretrain", "finetune")
# What `dataset=` stands for, and what `experiment=` sets.
HIDDEN = ("dataset.recipe", "dataset.published")
# A line of a config: indented key, value, comment.
BASE = re.compile(r"  - (\w+)$")
LINE = re.compile(r"( *)([\w.]+): ?(.*?)(?: +# (.*))?$")


def settings_of(command: str, overrides: Sequence[str]) -> RenderableType:
    """Tables of a command's settings, as the overrides have them.

    Args:
        command: name of a config.
        overrides: `key=value` as typed: a choice such as encoder=transformer shows its settings.

    Raises:
        ValueError: an override that `config.compose` would refuse.
    """
    found = config.composed(command, overrides)
    own = _comments(resources.folder("configs") / f"{command}.yaml")
    # To prepare a dataset is to read it; its other settings are those of training.
    groups = [name for name in found.groups if command in TRAINING]
    about = {"": own, **{name: _of_choice(found.values, name) for name in groups}}
    tables = []
    if found.groups:
        offered = _table("choices", "one of")
        for name in found.groups:
            chosen = found.values.get(name)
            now = chosen.get("name", "") if isinstance(chosen, dict) else chosen or ""
            offered.add_row(name, str(now), ", ".join(choices.names(name, command=command)))
        tables.append(offered)
    for name, comments in about.items():
        values = found.values if name == "" else found.values.get(name)
        if not isinstance(values, dict):
            continue
        table = _table(f"settings of {name}" if name else "settings", "is", "what it does")
        prefix = f"{name}." if name else ""
        for key, value in _entries(values, prefix, () if name else found.groups):
            short = key.removeprefix(prefix)
            table.add_row(key, _shown(value), _kind(key, value), comments.get(short, ""))
        tables.append(table)
    return Group(*tables)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    # A mapping with many keys would leave no room for what a setting does.
    table.add_column("default" if len(columns) > 1 else "chosen", overflow="fold", max_width=32)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _entries(
    values: dict[str, Any], prefix: str, groups: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Every setting by its whole name, but for names and classes of choices."""
    top = {f"{name}." for name in choices.GROUPS}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name in groups or key in HIDDEN or (prefix in top and name in ("name", "class")):
            continue
        if isinstance(value, dict) and value and not settings.is_open(key):
            yield from _entries(value, f"{key}.", ())
        else:
            yield key, value


def _shown(value: Any) -> Text:
    """A value as it is typed."""
    if value == "???":
        return Text("needed", "bold")
    if isinstance(value, list):
        return Text(f"[{','.join(str(one) for one in value)}]")
    if isinstance(value, dict):
        # One with many keys fills one line, and no column of them.
        return Text(json.dumps(value), no_wrap=True, overflow="ellipsis")
    return Text(str(value) if isinstance(value, str) else json.dumps(value))


def _kind(key: str, value: Any) -> Text:
    kind = settings.kind_of(key) or (MAPPING if settings.is_open(key) else like(value))
    # What a path must not be is said by the error.
    says = re.split(r" \(|, which", kind.says)[0]
    return Text(says + (" or null" if kind.null else ""))


def _comments(path: Path) -> dict[str, str]:
    """Comments of a config's lines, by dotted name, and of those that it builds on."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        base = BASE.match(line)
        if base is not None and path.with_name(f"{base[1]}.yaml").is_file():
            found |= _comments(path.with_name(f"{base[1]}.yaml"))
        match = LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        depth = len(match[1]) // 2
        above = [*above[:depth], match[2]]
        if match[4]:
            found[".".join(above)] = match[4]
    return found


def _of_choice(values: dict[str, Any], group: str) -> dict[str, str]:
    chosen = values.get(group)
    name = chosen.get("name") if isinstance(chosen, dict) else None
    found: dict[str, str] = {}
    # A user's own table is where settings of datasets are explained, a CPU where a trainer's are.
    for choice in ({"dataset": "table", "trainer": "cpu"}.get(group), name):
        path = resources.folder("configs") / group / f"{choice}.yaml"
        found |= _comments(path) if path.is_file() else {}
    return found
