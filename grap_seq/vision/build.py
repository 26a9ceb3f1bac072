"""From a config to the images, the views and the module that is trained on them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from grap_seq.nn.build import build
from grap_seq.training.made_from import MadeFrom
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.schedule import Schedule
from grap_seq.vision.backbone import build_backbone
from grap_seq.vision.images import Images
from grap_seq.vision.module import VisionModule
from grap_seq.vision.objective import LOSSES, All4One
from grap_seq.vision.readers import read
from grap_seq.vision.views import Centre, Colours
from grap_seq.weighting.base import Weighting

# Images an update whose learning rate is the config's.
BATCH = 256


def images_of(config: Any) -> tuple[Images, Images]:
    """Training and validation images; raises as `grap_seq.vision.readers.read` does."""
    return read(source=config.source, **plain(config.data.reader))


def source(config: Any) -> MadeFrom:
    """What a run is made from."""
    return made_from(config, images_of(config))


def made_from(config: Any, splits: tuple[Images, Images]) -> MadeFrom:
    """The same of images that are read: a run keeps the names of their classes."""
    train, val = splits
    data = hashlib.sha256(f"{train.data} {val.data}".encode()).hexdigest()
    classes = json.dumps({"classes": train.classes}, ensure_ascii=False, indent=2)
    place = str(config.source or config.data.name)
    return MadeFrom(place, data, {"classes.json": f"{classes}\n"})


def plain(section: Any) -> dict[str, Any]:
    """A section of a config as a dictionary."""
    found: dict[str, Any] = OmegaConf.to_container(section, resolve=True)  # type: ignore[assignment]
    return found


def centre_of(data: Any) -> Centre:
    """How validation images are cut."""
    return Centre(data.size, data.resize)


def colours_of(data: Any) -> Colours:
    """What is done to views on the device."""
    return Colours(plain(data.views), list(data.mean), list(data.std))


def fresh_backbone(config: Any) -> tuple[nn.Module, int]:
    """A backbone with the parameters that the seed draws, and the width of its features."""
    torch.manual_seed(config.seed)
    return build_backbone(plain(config.backbone), config.data.channels, config.data.size)


def build_module(config: Any, classes: int, steps: int) -> VisionModule:
    """The module that Lightning trains.

    Args:
        config: what `grap_seq.config.compose("vision", ...)` returns.
        classes: how many there are.
        steps: optimiser steps of an epoch.

    Raises:
        ValueError: an option that does not fit.
    """
    backbone, features = fresh_backbone(config)
    options = plain(config.weighting)
    weighting: Weighting = build(options, LOSSES, without=("lr", "decay"))
    objective = All4One(weighting, features, classes, **plain(config.heads))
    total = config.epochs * steps
    together = config.batch_size * config.trainer.devices * config.trainer.nodes
    if config.heads.queue < max(together, config.heads.neighbours):
        raise ValueError(
            f"heads.queue={config.heads.queue} is shorter than a batch of all processes"
            f" ({together} images) or than heads.neighbours={config.heads.neighbours}: lengthen it,"
            " or lower batch_size"
        )
    images = together * config.accumulate
    return VisionModule(
        backbone,
        objective,
        colours_of(config.data),
        schedule=Schedule("cosine", warmup=round(config.warmup * total), total=total),
        base=config.momentum,
        seed=config.seed,
        lr=config.lr * images / BATCH,
        transformer_lr=config.transformer_lr,
        classifier_lr=config.classifier_lr * images / BATCH,
        weight_decay=config.weight_decay,
        weights_lr=options.get("lr", 0.01),
        weights_decay=options.get("decay", False),
        nonfinite=Nonfinite.parse(config.nonfinite, Path(config.run)),
    )
