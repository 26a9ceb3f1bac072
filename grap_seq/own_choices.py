"""The user's own choices (`configs=FOLDER`): files that have to hold what the package's own do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from grap_seq import resources

# A choice to begin one's own with.
EXAMPLES = {
    **{"dataset": "table", "encoder": "gru", "objective": "ntp_coles"},
    **{"weighting": "equal", "mode": "pretrain", "trainer": "cpu"},
    **{"search": "equal", "data": "digits", "backbone": "convnet"},
}


def folder_of(value: str) -> Path:
    """The folder of `configs=`.

    Raises:
        FileNotFoundError: no such folder.
    """
    folder = Path(value).expanduser()
    # Nothing would be the folder that one stands in.
    there = value != "" and folder.is_dir()
    if not there or not any(path.parent.name in EXAMPLES for path in folder.glob("*/*.yaml")):
        problem = "no choices in it" if there else "no such folder"
        raise FileNotFoundError(
            f"configs={value}: {problem}; give a folder with YAML files in folders such as encoder,"
            " weighting or dataset"
        )
    return folder.resolve()


def files(own: Path | None, chosen: Mapping[str, str]) -> dict[str, Path]:
    """Files of the user's among the chosen ones, by group.

    Raises:
        ValueError: one that is no YAML of `key: value` lines.
    """
    if own is None:
        return {}
    paths = {group: own / group / f"{name}.yaml" for group, name in chosen.items()}
    found = {group: path for group, path in paths.items() if path.is_file()}
    for path in found.values():
        try:
            content = yaml.safe_load(path.read_text("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid YAML: {error}") from error
        if not isinstance(content, dict) or not isinstance(content.get("defaults", []), list):
            raise ValueError(
                f"{path}: write 'key: value' lines, and `defaults` as a list such as [gru, _self_]"
            )
    return found


def check(found: Mapping[str, Path], config: Mapping[str, Any]) -> None:
    """Refuse a choice that lacks what all of the package's own have.

    Args:
        found: what `files` gives.
        config: what was composed, with references that are not resolved yet.

    Raises:
        ValueError: names the file and the keys.
    """
    for group, path in found.items():
        ours = [
            yaml.safe_load(file.read_text("utf-8")).keys()
            for file in (resources.folder("configs") / group).glob("*.yaml")
        ]
        given = config.get(group) or {}
        lacking = sorted(set.intersection(*map(set, ours)) - {"defaults"} - {*given})
        if isinstance(given, dict) and lacking:
            raise ValueError(
                f"{path} lacks {', '.join(lacking)}; give them, or begin it with the values of a"
                f" choice that has them, such as defaults: [{EXAMPLES[group]}, _self_]"
            )
