"""Configs: Hydra composes them, we check names and say which one was meant."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from grap_seq import classes, kinds, own_choices, resources, settings
from grap_seq.names import nearest

# `~objective.losses.mine` takes an entry out of a mapping.
REMOVAL = re.compile(r"~[^=]+")
GROUPS = ("dataset", "encoder", "objective", "weighting", "mode", "trainer")


def choices(group: str, own: Path | None = None) -> list[str]:
    """Names that `group=` accepts; `own` is a folder of the user's with the same layout."""
    folders = [resources.folder("configs"), *([own] if own else [])]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


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
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    removed = [override[1:] for override in overrides if REMOVAL.fullmatch(override)]
    given = [split(override) for override in overrides if not REMOVAL.fullmatch(override)]
    own = next((own_choices.folder_of(value) for key, value in given if key == "configs"), None)
    given = [(key, value) for key, value in given if key != "configs"]
    given = _spelled_out(given) if command == "pretrain" else given
    groups = _groups_of(command)
    chosen = _chosen(groups, given, own)
    files = own_choices.files(own, chosen)
    selected = [f"{key}={value}" for key, value in chosen.items()]
    if own is not None:
        path = QuotedString(escaped(f"file://{own}"), Quote.single).with_quotes()
        selected.append(f"hydra.searchpath=[{path}]")
    try:
        with initialize_config_dir(str(resources.folder("configs").resolve()), version_base="1.3"):
            config = hydra_compose(command, selected)
        unresolved: Any = OmegaConf.to_container(config, resolve=False)
        own_choices.check(files, unresolved)
        defaults: Any = OmegaConf.to_container(config, resolve=True)
        known = _known(defaults)
        typed = [(key, text) for key, text in given if key not in groups]
        for key, text in typed:
            _check_name(command, key, groups, known)
            value = _value(key, text)
            for name in keys(value, f"{key}.") if isinstance(value, dict) else ():
                _check_name(command, name, groups, known)
            # Set here, not by Hydra: composing once more with them takes as long as the first time.
            OmegaConf.update(config, key, value, force_add=True)
        for key in removed:
            _remove(config, key)
        values: Any = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError) as error:
        place = f" (with {', '.join(map(str, files.values()))})" if files else ""
        raise ValueError(f"{error}{place}") from error
    return Composed(values, defaults, known, [key for key, _ in typed], groups)


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


def _value(key: str, text: str) -> Any:
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


def _chosen(groups: list[str], given: list[tuple[str, str]], own: Path | None) -> dict[str, str]:
    """The choices by group.

    Raises:
        ValueError: an unknown choice, two of one group, or a mode and a weighting that is not its.
    """
    chosen: dict[str, str] = {}
    for key, value in given:
        if key not in groups:
            continue
        if value not in choices(key, own):
            raise ValueError(f"{key}={value}: {nearest(value, choices(key, own))}")
        if chosen.setdefault(key, value) != value:
            raise ValueError(f"{key}={chosen[key]} and {key}={value}: give one of them")
    mode, weighting = chosen.get("mode", "pretrain"), chosen.get("weighting")
    if mode != "pretrain" and weighting not in (None, mode):
        raise ValueError(
            f"mode={mode} and weighting={weighting}: {mode} training chooses its own weighting;"
            f" leave out one of them"
        )
    return chosen


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


def experiments() -> dict[str, list[str]]:
    """Overrides of every `experiment=DATASET_ENCODER_METHOD`: the published settings.

    A method is a weighting, a mode, or "coles", which is CoLES alone. Published are the last state
    as the embedding of a sequence, without a word about when it was, CoLES as a sum, dropout of
    attention weights, history tokens in float32, and what a dataset's config lists under
    `published` (protocol, sections 2, 3, 5 and 7).
    """
    methods = {name: f"weighting={name}" for name in choices("weighting")}
    methods |= {mode: f"mode={mode}" for mode in ("auxiliary", "supervised")}
    methods |= {"coles": "objective=coles"}
    found = {}
    for dataset in choices("dataset"):
        path = resources.folder("configs") / "dataset" / f"{dataset}.yaml"
        published = yaml.safe_load(path.read_text("utf-8"))["published"]
        for encoder, method in product(choices("encoder"), methods):
            settings = dict(published["all"])
            if method == "coles":
                settings |= published["coles"] | {"weighting": "equal"}
            if method == "grap_published":
                settings["lr_gamma"] = 0.6
            if encoder.endswith("transformer"):
                settings["encoder.attention_dropout"] = "${dataset.transformer.dropout}"
            if encoder == "ht_transformer":
                settings["trainer.precision"] = "32-true"
            found[f"{dataset}_{encoder}_{method}"] = [
                f"dataset={dataset}",
                f"encoder={encoder}",
                methods[method],
                "pooling=last",
                "recency=false",
                "objective.coles_reduction=sum",
                "by_width=0",
                *([] if method == "coles" else ["objective.targets=[next]"]),
                *(f"{key}={value}" for key, value in settings.items()),
            ]
    return found


def _spelled_out(given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The overrides behind those that `experiment=` stands for."""
    names = [value for key, value in given if key == "experiment"]
    if not names:
        return given
    known = experiments()
    for name in names:
        if name not in known:
            raise ValueError(f"experiment={name}: {nearest(name, list(known))}")
    meant = [split(override) for name in names for override in known[name]]
    return meant + [(key, value) for key, value in given if key != "experiment"]


def _groups_of(command: str) -> list[str]:
    path = resources.folder("configs") / f"{command}.yaml"
    defaults = (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", [])
    return [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]


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
