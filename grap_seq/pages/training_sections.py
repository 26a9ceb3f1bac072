"""Sections of a run's page about its training, whatever it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grap_seq.pages import words
from grap_seq.pages.plots import MOST_LOSSES, plot_cosines, plot_losses, plot_weights
from grap_seq.pages.read import RunFiles, columns
from grap_seq.pages.render import images
from grap_seq.training.summary import sentences


def weights_section(run: Path, files: RunFiles) -> dict[str, Any]:
    """What weights.html shows: the weights' trajectories and the gradients' cosines."""
    if files.weights is None or files.weights.empty:
        return {"missing": words.NO_WEIGHTS}
    weights, cosines = columns(files.weights, "weight"), columns(files.weights, "cosine")
    constant = bool((weights.nunique() == 1).all())
    unlabelled = not cosines.any(axis=None)
    story = words.constant(files.weighting) if constant else words.trajectories(weights)
    return {
        "trajectories": story,
        "image": None if constant else images(lambda width: plot_weights(run, width)),
        "alignment": None if unlabelled else words.alignment(cosines),
        "cosines": None if unlabelled else images(lambda width: plot_cosines(run, width)),
        "shown": words.shown(cosines.shape[1], MOST_LOSSES, "are farthest from zero"),
    }


def losses_section(run: Path, files: RunFiles) -> dict[str, Any]:
    """What losses.html shows: every loss over the epochs."""
    if files.metrics is None or files.metrics.empty:
        return {"missing": "No metrics.csv yet: `grap-seq pretrain` writes it after every epoch."}
    validated = not columns(files.metrics, "val_loss").dropna(how="all").empty
    count = columns(files.metrics, "loss").shape[1]
    return {
        "validated": validated,
        "kept": " ".join(sentences(files.training)) if files.training else None,
        "image": images(lambda width: plot_losses(run, width)),
        "shown": words.shown(count, MOST_LOSSES, "weigh most at the end"),
    }
