"""Configs: Hydra composes them, we check names and say which one was meant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from grap_seq import classes, resources
from grap_seq.names import nearest

# Settings that count things, of which there has to be one.
COUNTS = (
    *("epochs", "batch_size", "accumulate", "log_every", "validate_every"),
    *("min_steps", "min_epochs", "max_epochs"),
    *(
        "lora.rank",
        "lr_step",
        "probe_sequences",
        "batch_events",
        "eval_length",
        "dataset.hidden",
        "dataset.eval_length",
    ),
    *("encoder.hidden", "objective.head_width", "objective.coles_negatives", "weighting.every"),
    "trainer.devices",
)
# What the data decide, with an example of the number that may be given instead.
AUTO = "auto"
AUTOMATIC = {
    **{"epochs": 10, "dataset.epochs": 10},
    **{"dataset.max_time_gap": 8.0, "dataset.time_scale": 1.0, "dataset.time_jitter": 0.1},
}
# Numbers that null switches off.
OPTIONAL = ("clip",)
# Mappings whose entries the user names; whoever reads them checks the names.
FREE = (
    "objective.losses",
    "boosting",
    "dataset.boosting",
    "dataset.table_widths",
    "weighting.weights",
    "weighting.options",
    "spark",
)
GROUPS = ("dataset", "encoder", "objective", "weighting", "mode", "trainer")


def choices(group: str, own: Path | None = None) -> list[str]:
    """Names that `group=` accepts; `own` is a folder of the user's with the same layout."""
    folders = [resources.folder("configs"), *([own] if own else [])]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def compose(command: str, overrides: Sequence[str]) -> Any:
    """The config of a command with `key=value` overrides applied, resolved.

    `configs=FOLDER` adds the user's own choices: FOLDER/encoder/mine.yaml is `encoder=mine`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: an override that is not `key=value`, or names an unknown key or choice.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    groups, own = _groups_of(command), _own_folder(overrides)
    overrides = [override for override in overrides if not override.startswith("configs=")]
    selected = [f"hydra.searchpath=[file://{own}]"] if own else []
    plain: list[str] = []
    for override in _spelled_out(overrides) if command == "pretrain" else overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{override!r}: arguments are written key=value, such as seed=1")
        if key in groups:
            if value not in choices(key, own):
                raise ValueError(f"{key}={value}: {nearest(value, choices(key, own))}")
            selected.append(override)
        else:
            plain.append(override)
    folder = str(resources.folder("configs").resolve())
    with initialize_config_dir(folder, version_base="1.3"):
        config = hydra_compose(command, selected)
        known = _keys(OmegaConf.to_container(config, resolve=True))
        free = tuple(f"{name}." for name in FREE if name.partition(".")[0] in known)
        for key in (override.partition("=")[0] for override in plain):
            if key not in known and not f"{key}.".startswith(free):
                leaves = [name for name, value in known.items() if not isinstance(value, dict)]
                flat = [*groups, *(name for name in leaves if "." not in name)]
                meant = nearest(key, flat, nested=leaves)
                raise ValueError(f"{command} has no setting {key!r}: {meant}")
        try:
            # Set here, not by Hydra: composing once more with them takes as long as the first time.
            for parsed in OverridesParser.create().parse_overrides(plain):
                if parsed.is_sweep_override():
                    raise ValueError(
                        f"{parsed.input_line}: give one value; quote text with a comma in it,"
                        " key='a,b', and write lists as key=[a,b]"
                    )
                key = parsed.key_or_group
                new = f"{key}.".startswith(free)
                OmegaConf.update(config, key, parsed.value(), force_add=new)
            OmegaConf.resolve(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(f"{' '.join(overrides)}: {error}") from error
    container: Any = OmegaConf.to_container(config)
    check_kinds(known, _keys(container))
    # What is written here is the user's own: his classes run. Those of a stored run do not.
    classes.allow_in(container)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ValueError(f"{command} needs {', '.join(f'{key}=...' for key in missing)}")
    return config


def _own_folder(overrides: Sequence[str]) -> Path | None:
    """The folder of `configs=FOLDER`."""
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "configs":
            if not Path(value).is_dir():
                raise FileNotFoundError(
                    f"configs={value}: no such folder; give one with YAML files in folders such as"
                    " encoder, weighting or dataset"
                )
            return Path(value).resolve()
    return None


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


def _spelled_out(overrides: Sequence[str]) -> list[str]:
    """The overrides behind those that `experiment=` stands for."""
    if not any(override.startswith("experiment=") for override in overrides):
        return list(overrides)
    known = experiments()
    meant: list[str] = []
    others: list[str] = []
    for override in overrides:
        key, _, name = override.partition("=")
        if key == "experiment" and name not in known:
            raise ValueError(f"experiment={name}: {nearest(name, list(known))}")
        if key == "experiment":
            meant += known[name]
        else:
            others.append(override)
    return meant + others


def _groups_of(command: str) -> list[str]:
    path = resources.folder("configs") / f"{command}.yaml"
    defaults = (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", [])
    return [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]


def _keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a config with its value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found[f"{prefix}{key}"] = value
        if isinstance(value, dict):
            found |= _keys(value, f"{prefix}{key}.")
    return found


def check_kinds(defaults: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse text where the default is a number or a switch; negative or zero counts too."""
    for key, default in defaults.items():
        value = given.get(key, default)
        default = None if default is None else AUTOMATIC.get(key, default)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{key}={value}: write true or false")
        elif (value is None and key in OPTIONAL) or (value == AUTO and key in AUTOMATIC):
            continue
        elif isinstance(default, int | float):
            kinds = int if isinstance(default, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds):
                what = "a whole number" if isinstance(default, int) else "a number"
                raise ValueError(f"{key}={value}: write {what}, such as {default}")
            if value < 0 <= default or (key in COUNTS and value < 1):
                raise ValueError(f"{key}={value}: it must be at least {int(key in COUNTS)}")


def save(config: Any, path: Path) -> None:
    """Write a resolved config."""
    from omegaconf import OmegaConf

    path.write_text(OmegaConf.to_yaml(config, resolve=True), "utf-8")


def load(path: Path) -> dict[str, Any]:
    """Read a config written by `save`."""
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content
