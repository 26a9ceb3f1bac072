"""Python's values as a command line has them, so that functions and commands share all code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from grap_seq import choices, settings
from grap_seq.kinds import FOLDER, PATH


def words(values: Mapping[str, Any]) -> list[str]:
    """Settings as words `key=value` of a command line.

    Args:
        values: by dotted name, or nested; None is null.

    Raises:
        TypeError: a value that no setting can have.
    """
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            within = dict(value)
            if key in choices.GROUPS and "name" in within:
                found.append(f"{key}={within.pop('name')}")
            found += words({f"{key}.{name}": one for name, one in within.items()})
        else:
            found.append(f"{key}={_word(key, value)}")
    return found


def _word(key: str, value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    kind = settings.kind_of(key)
    if not isinstance(value, str):
        return _grammar(key, value)
    if kind is not None and re.fullmatch(kind.as_typed, value, re.DOTALL):
        # Typed, null is no name.
        return "./null" if value == "null" and kind in (PATH, FOLDER) else value
    return value if key in choices.GROUPS else _quoted(value)


def _quoted(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _grammar(key: str, value: Any) -> str:
    """In the grammar of Hydra's overrides.

    Raises:
        TypeError: it cannot be written there.
    """
    if isinstance(value, os.PathLike | date):
        value = value.isoformat() if isinstance(value, date) else os.fspath(value)
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_grammar(key, one) for one in value)}]"
    if isinstance(value, Mapping) and not value:
        return "{}"
    if hasattr(value, "item"):
        # One of numpy's numbers.
        return _grammar(key, value.item())
    raise TypeError(
        f"{key}={value!r}: a setting is text, a number, true or false, None, a path, or a list or"
        " dict of them"
    )
