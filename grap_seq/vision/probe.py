"""Linear probe: how much of what a frozen backbone knows about classes is linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from grap_seq.data.order import generator
from grap_seq.evaluation.logistic import INNER_FOLDS, STRENGTHS
from grap_seq.terminal import progress
from grap_seq.vision.images import Images
from grap_seq.vision.views import Centre, Colours

# Sets the images that are drawn apart from what else the seed draws.
DRAWN = 4


def features_of(
    backbone: nn.Module, images: Images, centre: Centre, colours: Colours, batch_size: int = 256
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Features of whole images, in evaluation mode, shape (N, D).

    Args:
        backbone: images (B, C, S, S) to features (B, D).
        images: a split, or a part of it.
        centre: how they are cut.
        colours: how they are normalised.
        batch_size: images at a time.
    """
    device = next(backbone.parameters()).device
    modules = (backbone, colours)
    training = [module.training for module in modules]
    for module in modules:
        module.eval()
    found, starts = [], range(0, len(images), batch_size)
    with progress() as shown, torch.inference_mode():
        for start in shown.track(starts, description="embedding images"):
            rows = range(start, min(start + batch_size, len(images)))
            (view,) = colours(centre([images[row] for row in rows]).to(device))
            found.append(backbone(view).float().cpu().numpy())
    for module, was in zip(modules, training, strict=True):
        module.train(was)
    return np.concatenate(found)


def linear_accuracy(
    fitted: np.ndarray[Any, Any],
    classes: np.ndarray[Any, Any],
    scored: np.ndarray[Any, Any],
    truth: np.ndarray[Any, Any],
) -> float:
    """Accuracy of logistic regression; columns are standardised, the penalty is chosen by folds.

    Args:
        fitted: features that it is fitted on, shape (N, D).
        classes: theirs, shape (N,).
        scored: features of other images, shape (M, D).
        truth: their classes, shape (M,).
    """
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    if np.unique(classes, return_counts=True)[1].min() >= INNER_FOLDS:
        model = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=INNER_FOLDS)
    return float(model.fit(fitted.astype(float), classes).score(scored.astype(float), truth))


def probe(
    backbone: nn.Module,
    splits: tuple[Images, Images],
    centre: Centre,
    colours: Colours,
    *,
    images: int,
    seed: int,
) -> float:
    """Accuracy of a linear classifier on frozen features, on the validation images.

    Args:
        backbone: the frozen one.
        splits: training and validation images.
        centre, colours: as of `features_of`.
        images: training images that the classifier is fitted on, drawn at random; all, if fewer.
        seed: of the draw.
    """
    train, val = splits
    drawn = np.sort(generator(seed, 0, purpose=DRAWN).permutation(len(train))[:images])
    parts = (train.part(drawn), val)
    fitted, scored = (features_of(backbone, part, centre, colours) for part in parts)
    return linear_accuracy(fitted, parts[0].labels, scored, val.labels)
