"""Which classes a description may name by `class:`. A stored run is data, and runs no other code.

A path is looked up here before anything is imported: it is one of those in the package's own
configs, one in a config that the user composed, or one that the user allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import yaml

from grap_seq import resources

# Paths that are allowed besides the package's own, separated by commas.
VARIABLE = "GRAP_SEQ_ALLOW_CLASS"
# What the user allowed in this process.
allowed: set[str] = set()


def allow(*paths: str) -> None:
    """Let descriptions name these classes from now on in this process.

    Args:
        paths: dotted paths, such as "my.module.Encoder". The class is imported, and called with
            whatever options a description has, so allow what you know to be harmless with any.

    Raises:
        ValueError: no dotted path.
    """
    for path in paths:
        if not all(part.isidentifier() for part in path.split(".")) or "." not in path:
            raise ValueError(
                f"{path!r} is no path of a class; write module and name, such as my.module.Encoder"
            )
    allowed.update(paths)


def allow_in(config: Mapping[str, Any]) -> None:
    """Allow every class that a config names: one that the user wrote, not one from a run."""
    for key, value in config.items():
        if key == "class" and isinstance(value, str):
            allowed.add(value)
        elif isinstance(value, Mapping):
            allow_in(value)


def find(path: str) -> Any:
    """Import the class of a dotted path, if a description may name it.

    Raises:
        ValueError: the class is not allowed, or cannot be imported.
    """
    if path not in _shipped() and path not in allowed and path not in _from_environment():
        raise ValueError(
            f"class: {path!r} is none of grap_seq's own, and a stored run may not name any other."
            " If you know this class and trust it, allow it by --allow-class or the environment"
            f" variable {VARIABLE}, or in Python by grap_seq.load(run, allow_classes=[...])"
        )
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"class: {path!r} cannot be imported ({error})") from error


@cache
def _shipped() -> frozenset[str]:
    """Classes of the package's own configs: a new config is all that a new class needs."""
    folder = resources.folder("configs")
    groups = ("backbone", "encoder", "weighting")
    files = (path for group in groups for path in folder.glob(f"{group}/*.yaml"))
    return frozenset(yaml.safe_load(path.read_text("utf-8"))["class"] for path in files)


def _from_environment() -> set[str]:
    return {path.strip() for path in os.environ.get(VARIABLE, "").split(",")} - {""}
