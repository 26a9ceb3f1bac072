"""All4One's heads, and the losses of a batch of images under a weighting."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.vision.centroid import CentroidTransformer
from grap_seq.vision.heads import predictor, projector, statistics_kept
from grap_seq.vision.losses import feature_losses, nnclr
from grap_seq.vision.queue import NeighbourQueue
from grap_seq.weighting.base import DOWNSTREAM, Weighting

NNCLR, CENTROID, ON_DIAGONAL, OFF_DIAGONAL = "nnclr", "att_nnclr", "on_diag", "off_diag"
LOSSES = (NNCLR, CENTROID, ON_DIAGONAL, OFF_DIAGONAL)


class All4One(nn.Module):
    """Four losses of two views, and the classifier's, each on its own view of the features.

    One projector serves all losses (paper, section 4.2, after solo-learn's All4One): it runs on
    each loss's view of the features, so that the gradient of every loss arrives there by itself.

    Args:
        weighting: of `LOSSES`; sees the features of both views, (2, B, D), as one embedding.
        features: D.
        classes: of the classifier, which is the downstream task.
        projector_hidden: width inside the projector.
        projection: P, width of a projection.
        predictor_hidden: width inside a predictor.
        queue: keys among which neighbours are sought.
        neighbours: tokens of a centroid.
        layers: of the centroid's Transformer.
        heads: attention heads of a layer.
        feedforward: width inside its feed-forward part.
        dropout: of the layers.
        temperature: of the neighbours' loss.
        attention_temperature: of the centroids' loss; 0.1 in the reference.
        swapped_axes: of the position code; True in the reference.
    """

    def __init__(
        self,
        weighting: Weighting,
        features: int,
        classes: int,
        *,
        projector_hidden: int = 2048,
        projection: int = 256,
        predictor_hidden: int = 4096,
        queue: int = 98_304,
        neighbours: int = 5,
        layers: int = 3,
        heads: int = 8,
        feedforward: int = 512,
        dropout: float = 0.1,
        temperature: float = 0.2,
        attention_temperature: float = 0.2,
        swapped_axes: bool = False,
    ) -> None:
        super().__init__()
        assert weighting.names == LOSSES, weighting.names
        self.weighting = weighting
        self.projector = projector(features, projector_hidden, projection)
        self.predictors = nn.ModuleDict(
            {name: predictor(projection, predictor_hidden) for name in (NNCLR, CENTROID)}
        )
        self.transformer = CentroidTransformer(
            projection, neighbours, layers, heads, feedforward, dropout, swapped_axes
        )
        self.classifier = nn.Linear(features, classes)
        self.queue = NeighbourQueue(queue, projection)
        self.neighbours = neighbours
        self.temperature, self.attention_temperature = temperature, attention_temperature

    def forward(self, features: Tensor, keys: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses by name, shape () each, the classifier's among them.

        Args:
            features: of the backbone, by view, shape (2, B, D).
            keys: of the momentum branch, by view, shape (2, B, P).
            labels: classes, shape (B,).
        """
        views = self.weighting(features)
        projections = {
            name: self._projections(views[name], counts=name == LOSSES[0]) for name in LOSSES
        }
        # (2, B, K, P)
        near = torch.stack([self.queue.nearest(key, self.neighbours) for key in keys])
        on, off = (
            feature_losses(keys[0], projections[name][0], keys[1], projections[name][1])[place]
            for place, name in enumerate((ON_DIAGONAL, OFF_DIAGONAL))
        )
        return {
            NNCLR: self._neighbours(projections[NNCLR], near),
            CENTROID: self._centroids(projections[CENTROID], near),
            ON_DIAGONAL: on,
            OFF_DIAGONAL: off,
            DOWNSTREAM: self.classified(views[DOWNSTREAM], labels),
        }

    def classified(self, features: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the classifier, a mean over views (V, B, D) and images."""
        logits = self.classifier(features.flatten(0, 1))
        return F.cross_entropy(logits, labels.repeat(len(features)))

    def _projections(self, features: Tensor, *, counts: bool) -> list[Tensor]:
        """Of both views, (B, P) each; `counts`: in the projector's running statistics."""
        with nullcontext() if counts else statistics_kept(self.projector):
            return [self.projector(view) for view in features]

    def _neighbours(self, projections: list[Tensor], near: Tensor) -> Tensor:
        first, second = (self.predictors[NNCLR](projection) for projection in projections)
        return nnclr(near[0, :, 0], first, near[1, :, 0], second, self.temperature)

    def _centroids(self, projections: list[Tensor], near: Tensor) -> Tensor:
        targets, predictions = [], []
        for projection, neighbours in zip(projections, near, strict=True):
            own = self.predictors[CENTROID](projection)[:, None]
            targets.append(self.transformer(neighbours))
            predictions.append(self.transformer(torch.cat([own, neighbours[:, :-1]], dim=1)))
        return nnclr(
            targets[0], predictions[0], targets[1], predictions[1], self.attention_temperature
        )
