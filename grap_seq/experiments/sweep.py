"""Settings with several values, `seed=0,1,2 weighting=glob(g*)`, as lists of ordinary ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

from grap_seq import choices, kinds, overrides, published, settings
from grap_seq.own_choices import folder_of


def expand(words: Sequence[str]) -> list[list[str]]:
    """Every combination of the values of settings, those of the last one changing fastest.

    Args:
        words: settings as they are typed; several values are a list with commas, `choice()`,
            `range()`, or `glob()` of the names of choices. Paths and names are one value.

    Raises:
        FileNotFoundError: `configs=` names no folder.
        ValueError: several values that Hydra does not read, or none.
    """
    given = [overrides.split(word) for word in words]
    own = next((folder_of(value) for key, value in given if key == "configs"), None)
    several = []
    for key, text in given:
        names = list(published.experiments()) if key == "experiment" else choices.names(key, own)
        several.append([f"{key}={value}" for value in values(key, text, names)])
    return [list(chosen) for chosen in product(*several)]


def values(key: str, text: str, names: Sequence[str]) -> list[str]:
    """The values of one setting, as they are typed.

    Args:
        key: of the setting.
        text: behind `key=`.
        names: that `glob()` chooses among.
    """
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    kind = settings.kind_of(key)
    if key == "configs" or (kind is not None and kind.as_typed == kinds.TEXT.as_typed):
        # A path or a name: as it is typed, with commas and brackets, here as everywhere.
        return [text]
    try:
        parsed = overrides.parsed(key, text)
    except ValueError:
        # A run may take it as it is typed, and says so if not.
        return [text]
    if not parsed.is_sweep_override():
        return [text]
    what = parsed.value()
    try:
        found = what.filter(list(names)) if isinstance(what, Glob) else None
        found = list(parsed.sweep_iterator(typed)) if found is None else found
    except HydraException as error:
        raise ValueError(f"{key}={text}: {error}; list its values, such as {key}=1,2") from error
    if not found:
        raise ValueError(f"{key}={text}: nothing is called so; there are {', '.join(names)}")
    return found


def typed(value: Any) -> str:
    """A value of Hydra's as it is typed."""
    from hydra.core.override_parser.types import Transformer

    # It would write Python's words.
    simple = value is None or isinstance(value, bool)
    return json.dumps(value) if simple else str(Transformer.encode(value))
