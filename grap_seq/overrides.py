"""What is typed: `key=value`, read by Hydra's grammar where it is not text as it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from grap_seq import kinds, settings

# `~objective.losses.mine` takes an entry out of a mapping.
REMOVAL = re.compile(r"~[^=]+")


def split(override: str) -> tuple[str, str]:
    """Key and value of `key=value`.

    Raises:
        ValueError: it is none.
    """
    key, equals, value = override.partition("=")
    if override.startswith("-"):
        raise ValueError(f"{override}: no such option; `grap-seq --help` lists them")
    if not equals or not key:
        raise ValueError(f"{override!r}: arguments are written key=value, such as seed=1")
    return key, value


def value_of(key: str, text: str) -> Any:
    """What was typed behind `key=`.

    Raises:
        ValueError: several values, or text that is none.
    """
    kind = settings.kind_of(key)
    if text != "null" and kind is not None and re.fullmatch(kind.as_typed, text, re.DOTALL):
        if kind in (kinds.PATH, kinds.FOLDER):
            text = os.path.expanduser(text)
        if kind is kinds.FOLDER and (":" in text or text.startswith("~")):
            # Libraries take `a:b` for an address, and once more `~a` for a home.
            text = os.path.abspath(text)
        return escaped(text)
    found = parsed(key, text)
    if found.is_sweep_override():
        raise ValueError(
            f"{key}={text}: give one value; quote text with a comma in it, {key}='a,b', and write"
            f" lists as {key}=[a,b]"
        )
    return found.value()


def parsed(key: str, text: str) -> Any:
    """What Hydra reads in `key=text`, of which it may be several values: an `Override`.

    Raises:
        ValueError: Hydra cannot read it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"{key}={text}")
    except (HydraException, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{key}={text}: {reason}; write lists as [a,b], pairs as {{a: 1}}, and quote text with"
            " other characters: 'a, b'"
        ) from error


def plain(values: Mapping[str, Any]) -> Any:
    """Resolved values as a config, in which text stays the text it is."""
    from omegaconf import OmegaConf

    config = OmegaConf.create(escaped(dict(values)))
    OmegaConf.set_struct(config, True)
    return config


def escaped(value: Any) -> Any:
    """The same for OmegaConf, without references to other settings in any text (`${name}`)."""
    if isinstance(value, dict):
        return {key: escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [escaped(entry) for entry in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value
