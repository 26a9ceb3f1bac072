"""`grap-seq vision`: from images to a run folder with a backbone and its probe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning

from grap_seq import seal, trackers
from grap_seq.evaluation.parameters import write
from grap_seq.pages.read import PROBE
from grap_seq.settings import AUTO
from grap_seq.terminal import say
from grap_seq.training.checkpoint_files import kept
from grap_seq.training.checkpoints import Checkpoints, Interval
from grap_seq.training.pretrain import with_weights
from grap_seq.training.recorder import Recorder
from grap_seq.training.run_folder import finished, opened
from grap_seq.training.same_run import flat
from grap_seq.training.summary import sentences, summarise
from grap_seq.training.tracking import Tracking
from grap_seq.training.trainer import build_trainer, check_trainer, fit
from grap_seq.vision.build import (
    build_module,
    centre_of,
    colours_of,
    fresh_backbone,
    images_of,
    made_from,
    plain,
)
from grap_seq.vision.data import ImageData
from grap_seq.vision.images import Images
from grap_seq.vision.module import VisionModule
from grap_seq.vision.probe import probe
from grap_seq.vision.score import OnlineScore

WEIGHTS = "model.safetensors"


def train(config: Any) -> Path:
    """Train as configured; returns the run folder.

    The backbone of the last epoch is kept, as in the published recipe. model.safetensors holds its
    parameters, probe.json the accuracy of a linear classifier on its frozen features.

    Args:
        config: what `grap_seq.config.compose("vision", ...)` returns.

    Raises:
        FileExistsError: the run folder exists; see `overwrite` and `resume`.
        FileNotFoundError: no images at `source`.
        ValueError: the config does not fit the images or the machine.
        SystemExit: the process was told to stop; `resume` goes on.
    """
    run = Path(config.run)
    check_trainer(config.trainer)
    if config.epochs == AUTO:
        raise ValueError("epochs=auto is of event sequences: give a number of epochs")
    names = trackers.chosen(config.tracker)
    splits, config = images_of(config), with_weights(config)
    data = ImageData(
        *splits,
        plain(config.data.views),
        size=config.data.size,
        resize=config.data.resize,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.trainer.workers,
    )
    steps = data.steps(config.trainer.devices * config.trainer.nodes, config.accumulate)
    module = build_module(config, len(splits[0].classes), steps)
    recorder = Recorder(run, config.log_every)
    with opened(run, config, partial(made_from, splits=splits)) as start:
        if start.finished:
            say(finished(run, config))
            return run
        saver = Checkpoints(run, "last", Interval.parse(config.checkpoint_every))
        callbacks = [recorder, OnlineScore(recorder), Tracking(names, recorder, flat(config))]
        trainer = build_trainer(config, [*callbacks, saver], start.settings)
        checkpoint = fit(trainer, module, data, run, start, too_large)
        if checkpoint is None:
            return run
        state, epoch, _ = kept(checkpoint)
        module.load_state_dict(state)
        found = summarise(run, "last", epoch, config.epochs)
        scores = _probed(config, module, splits)
        seal.write_json(run, PROBE, scores)
        description = _description(config, splits[0])
        made = {"weights": write(module.backbone, run, WEIGHTS), "training": found}
        seal.write_json(run, "model.json", description | made)
    say(*sentences(found))
    say(spoken(scores), module.weighting.summary())
    return run


def too_large(trainer: lightning.Trainer, module: Any) -> str:
    """What to do about a batch that does not fit into memory."""
    del trainer
    count, size = len(module.batch), module.batch.views.shape[-1]
    return (
        f"memory is not enough for a batch of {count} images of {size} x {size} pixels: lower"
        " batch_size, heads.queue, or take a smaller backbone"
    )


def _probed(config: Any, module: VisionModule, splits: tuple[Images, Images]) -> dict[str, Any]:
    """Accuracies on the validation images: of the trained backbone, and of an untrained one."""
    options: dict[str, Any] = {"images": config.probe_images, "seed": config.seed}
    places = centre_of(config.data), colours_of(config.data)
    untrained, _ = fresh_backbone(config)
    return {
        "accuracy": probe(module.backbone, splits, *places, **options),
        "untrained": probe(untrained, splits, *places, **options),
        "fitted": min(config.probe_images, len(splits[0])),
        "scored": len(splits[1]),
        "classes": len(splits[0].classes),
    }


def spoken(scores: Mapping[str, Any]) -> str:
    """The probe for a reader."""
    return (
        f"Linear probe on {scores['scored']:,} validation images of {scores['classes']} classes:"
        f" accuracy {scores['accuracy']:.4f}, of an untrained backbone {scores['untrained']:.4f}."
    )


def _description(config: Any, images: Images) -> dict[str, Any]:
    """What `grap_seq.vision.load` needs."""
    data = config.data
    return {
        "backbone": plain(config.backbone),
        "channels": data.channels,
        "size": data.size,
        "mean": list(data.mean),
        "std": list(data.std),
        "classes": list(images.classes),
    }
