"""Configs: Hydra composes them, we check names and say which one was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from grap_seq import choices, classes, own_choices, resources, settings
from grap_seq.names import nearest
from grap_seq.overrides import REMOVAL, escaped, plain, split, value_of
from grap_seq.published import spelled_out

# Where settings of another command are.
PASSED_ON = "with"


@dataclass(frozen=True)
class Composed:
    """A command's config before its values are checked.

    Attributes:
        values: resolved, with what was typed.
        defaults: without it.
        known: every setting's default, by dotted name.
        typed: names of what was typed.
        groups: names of those that have choices.
    """

    values: dict[str, Any]
    defaults: dict[str, Any]
    known: dict[str, Any]
    typed: list[str]
    groups: list[str]


def compose(command: str, overrides: Sequence[str]) -> Any:
    """The config of a command with `key=value` overrides applied, resolved and checked.

    Paths and names are taken as they are typed, other values are read by Hydra's grammar.
    `configs=FOLDER` adds the user's own choices: FOLDER/encoder/mine.yaml is `encoder=mine`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: an override that is not `key=value`, an unknown key or choice, or a value of
            another kind or beyond its range, see `grap_seq.settings`.
    """
    found = composed(command, overrides)
    missing = sorted(key for key, value in keys(found.values).items() if value == "???")
    if missing:
        raise ValueError(f"{command} needs {', '.join(f'{key}=...' for key in missing)}")
    optional = {
        key for key, value in found.known.items() if value is None and not _in(found.groups, key)
    }
    settings.check(found.values, found.defaults, found.typed, optional)
    # What is written here is the user's own: his classes run. Those of a stored run do not.
    classes.allow_in(found.values)
    return plain(found.values)


def composed(command: str, overrides: Sequence[str]) -> Composed:
    """The same, neither complete nor checked but for the names; raises as `compose`."""
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    removed = [override[1:] for override in overrides if REMOVAL.fullmatch(override)]
    given = [split(override) for override in overrides if not REMOVAL.fullmatch(override)]
    own = next((own_choices.folder_of(value) for key, value in given if key == "configs"), None)
    given = [(key, value) for key, value in given if key != "configs"]
    given = spelled_out(given) if command == "pretrain" else given
    groups = choices.groups_of(command)
    chosen = choices.chosen(command, groups, given, own)
    files = own_choices.files(own, chosen)
    selected = [f"{key}={value}" for key, value in chosen.items()]
    if own is not None:
        path = QuotedString(escaped(f"file://{own}"), Quote.single).with_quotes()
        selected.append(f"hydra.searchpath=[{path}]")
    try:
        compose_files = _hydra if own is not None else _shipped
        folder = resources.folder("configs").resolve()
        config = deepcopy(compose_files(folder, command, tuple(selected)))
        unresolved: Any = OmegaConf.to_container(config, resolve=False)
        own_choices.check(files, unresolved)
        defaults: Any = OmegaConf.to_container(config, resolve=True)
        known = _known(defaults)
        typed = [(key, text) for key, text in given if key not in groups]
        for key, text in typed:
            _check_name(command, key, groups, known)
            value = value_of(key, text)
            for name in keys(value, f"{key}.") if isinstance(value, dict) else ():
                _check_name(command, name, groups, known)
            # Set here, not by Hydra: composing once more with them takes as long as the first time.
            place, _, name = key.partition(".")
            if place == PASSED_ON and name:
                # As typed: with.trainer=gpu is a choice, with.trainer.workers=1 a value in it.
                with open_dict(config):
                    config[place][name] = value
            else:
                OmegaConf.update(config, key, value, force_add=True)
        for key in removed:
            _remove(config, key)
        values: Any = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError) as error:
        place = f" (with {', '.join(map(str, files.values()))})" if files else ""
        raise ValueError(f"{error}{place}") from error
    return Composed(values, defaults, known, [key for key, _ in typed], groups)


def _hydra(folder: Path, command: str, selected: tuple[str, ...]) -> Any:
    """What the files say, with these choices."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose(command, list(selected))


# Searches, grids and scikit-learn's folds ask for the same again and again, at 60 ms. The user's
# own files, unlike these, may change in between.
_shipped = lru_cache(maxsize=64)(_hydra)


def _remove(config: Any, key: str) -> None:
    """Take an entry out of a mapping to which users add their own.

    Raises:
        ValueError: it is a setting.
    """
    from omegaconf import OmegaConf, open_dict

    place, _, name = key.rpartition(".")
    if not place or not settings.is_open(place):
        raise ValueError(f"~{key}: a setting has a value; write {key}=... (null where it may be)")
    with open_dict(config):
        OmegaConf.select(config, place).pop(name, None)


def _known(defaults: dict[str, Any]) -> dict[str, Any]:
    """Every setting of a command with its default."""
    known = keys(defaults)
    places = [key.removesuffix("boosting") for key in known if key.endswith("boosting")]
    return (
        dict.fromkeys((place + name for place in places for name in settings.BOOSTING), 0) | known
    )


def _check_name(command: str, key: str, groups: list[str], known: Mapping[str, Any]) -> None:
    parts = key.split(".")
    above = [".".join(parts[:place]) for place in range(1, len(parts))]
    if key in known or any(name in known and settings.is_open(name) for name in above):
        return
    leaves = [name for name, value in known.items() if not isinstance(value, dict)]
    flat = [*groups, *(name for name in leaves if "." not in name)]
    raise ValueError(f"{command} has no setting {key!r}: {nearest(key, flat, nested=leaves)}")


def _in(groups: list[str], key: str) -> bool:
    return key.partition(".")[0] in groups


def keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a config with its value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found[f"{prefix}{key}"] = value
        if isinstance(value, dict):
            found |= keys(value, f"{prefix}{key}.")
    return found


def save(values: Mapping[str, Any], path: Path) -> None:
    """Write settings."""
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True), "utf-8")


def load(path: Path) -> dict[str, Any]:
    """Read a config written by `save`."""
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content
