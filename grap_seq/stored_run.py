"""What a command finds in the folder of a run before anything slow is imported.

A run's config.yaml names other folders as seen from the run, so that a project can be moved, and
its commands can be given from anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grap_seq import config, overrides, seal

REMEDY = "restore it from a copy, or train the run again"
# Settings that name folders.
FOLDERS = ("prepared", "pretrained", "source")


def for_storage(content: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """The settings of a run as its config.yaml has them."""
    seen = {
        key: os.path.relpath(content[key], run) for key in FOLDERS if content.get(key) is not None
    }
    return {**content, **seen, "run": "."}


def config_of(run: Path, remedy: str = REMEDY) -> dict[str, Any]:
    """The settings that a run was trained with, its folders as seen from here.

    Raises:
        FileNotFoundError: it is no run folder.
        ValueError: its config.yaml is damaged.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} is not a run folder (no config.yaml); make one with `grap-seq pretrain`"
        )
    seal.check(run, path.name, remedy)
    stored = config.load(path)
    here = {key: os.path.normpath(run / stored[key]) for key in FOLDERS if stored.get(key)}
    return {**stored, **here, "run": str(run)}


def is_of_images(settings: Mapping[str, Any]) -> bool:
    """Whether settings are those of `vision`."""
    return "backbone" in settings


def config_of_sequences(run: Path) -> dict[str, Any]:
    """The settings of a run of event sequences; raises as `config_of`, or of a run of images."""
    known = config_of(run)
    if is_of_images(known):
        raise ValueError(
            f"{run} is a run of images: `grap-seq report` and grap_seq.vision.load read it"
        )
    return known


def prepared_of(run: Path, given: str | None) -> Path:
    """The prepared folder that is given, or else the one that a run was trained on.

    Raises:
        FileNotFoundError: `run` is no run folder, or the other no prepared one.
        ValueError: as `config_of`.
    """
    # Read in every case: it says that `run` is a run folder before anything slow is imported.
    own = config_of_sequences(run)["prepared"]
    prepared = Path(own if given is None else given)
    # A run has a schema too, and no data.
    if not (prepared / "manifest.json").is_file():
        trained = f", on which {run} was trained" if given is None else ""
        raise FileNotFoundError(
            f"prepared={prepared}{trained}, is not a prepared folder (no manifest.json); name the"
            " one that is with prepared=, or make it with `grap-seq prepare`"
        )
    return prepared


def goes_on(settings: Any) -> bool:
    """Whether a run that was begun goes on: of `pretrain`, or of `finetune` with its output."""
    return bool(settings.resume) and (Path(settings.run) / "config.yaml").is_file()


def going_on(settings: Any, arguments: Sequence[str]) -> Any:
    """The same, or where a run goes on, its own settings and over them what was typed.

    Args:
        settings: what `compose` made of the arguments.
        arguments: `key=value` as typed.

    Raises:
        ValueError: the run's config.yaml is damaged, or the run is of images and the settings are
            not, or the other way round.
    """
    from omegaconf import OmegaConf

    typed = {argument.partition("=")[0] for argument in arguments}
    if not goes_on(settings) or "experiment" in typed:
        return settings
    remedy = "restore it from a copy, or start anew with overwrite=true"
    stored = config_of(Path(settings.run), remedy)
    if is_of_images(stored) != is_of_images(settings):
        kind = "images" if is_of_images(stored) else "event sequences"
        raise ValueError(
            f"{settings.run} is a run of {kind}: continue it by the command that began it, or name"
            " another with run=..."
        )
    whole = OmegaConf.create(overrides.escaped(stored))
    given: Any = OmegaConf.to_container(settings, resolve=True)
    # How far it was to go the last time is no setting of the run.
    whole.trainer.max_steps = given["trainer"]["max_steps"]
    for key in sorted(typed - {"configs"}, key=lambda name: name.count(".")):
        value = given
        for name in key.split("."):
            value = value[name]
        OmegaConf.update(whole, key, overrides.escaped(value), force_add=True, merge=False)
    values: Any = OmegaConf.to_container(whole, resolve=True)
    return overrides.plain(values)
