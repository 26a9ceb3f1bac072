"""Training of a backbone by All4One, for Lightning's automatic optimisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from grap_seq.training.refusal import Nonfinite
from grap_seq.training.schedule import Schedule
from grap_seq.training.weighed import WeighedModule
from grap_seq.vision.batch import ImageBatch
from grap_seq.vision.lars import LARS
from grap_seq.vision.losses import of_all
from grap_seq.vision.momentum import Momentum
from grap_seq.vision.objective import All4One
from grap_seq.vision.views import Colours
from grap_seq.weighting.base import DOWNSTREAM, Weighting


class VisionModule(WeighedModule):
    """Backbone, losses, momentum branch and optimiser.

    Queue and momentum branch move once an update, when it is known to be accepted.

    Args:
        backbone: images (B, C, S, S) to features (B, D).
        objective: heads, losses and weighting.
        colours: what is done to views on the device.
        base: rate of the momentum branch at the start, see `grap_seq.vision.momentum.rate`.
        seed: seed of the run; random numbers of a step depend on it, the step and the process.
        lr: learning rate of backbone, projector and predictors.
        transformer_lr: of the centroid's Transformer.
        classifier_lr: of the classifier, which does not decay.
        weight_decay: of the others.
        weights_lr: of the loss weights.
        weights_decay: whether their rate follows the schedule too.
        schedule: of the learning rates; its `total` is the number of updates of the run.
        nonfinite: when refused updates stop the run; None: the third in a row does.
    """

    unit = "images"

    def __init__(
        self,
        backbone: nn.Module,
        objective: All4One,
        colours: Colours,
        *,
        schedule: Schedule,
        base: float = 0.99,
        seed: int = 0,
        lr: float = 1.0,
        transformer_lr: float = 0.1,
        classifier_lr: float = 0.1,
        weight_decay: float = 1e-5,
        weights_lr: float = 0.01,
        weights_decay: bool = False,
        nonfinite: Nonfinite | None = None,
    ) -> None:
        super().__init__(seed, lr, schedule, nonfinite)
        self.backbone, self.objective, self.colours = backbone, objective, colours
        self.momentum = Momentum(backbone, objective.projector, base)
        self.transformer_lr, self.classifier_lr = transformer_lr, classifier_lr
        self.weight_decay = weight_decay
        self.weights_lr, self.weights_decay = weights_lr, weights_decay
        # Keys of the update that is being made, (B, P) each.
        self._keys: list[Tensor] = []

    @property
    def weighting(self) -> Weighting:
        return self.objective.weighting

    def backbone_parameters(self) -> Iterable[Tensor]:
        return self.backbone.parameters()

    def compile_parts(self, **options: Any) -> None:
        for part in (self.backbone, self.momentum.backbone):
            part.compile(**options)

    def configure_optimizers(self) -> Any:
        heads = self.objective
        groups: list[dict[str, Any]] = [
            {"params": [*part.parameters()], "lr": lr}
            for part, lr in (
                (self.backbone, self.lr),
                (heads.projector, self.lr),
                (heads.predictors, self.lr),
                (heads.transformer, self.transformer_lr),
                (heads.classifier, self.classifier_lr),
            )
        ]
        groups[-1]["weight_decay"] = 0.0
        follows = [True] * len(groups)
        if self.weighting.learned:
            groups.append(self.weighting.parameter_group(self.weights_lr))
            follows.append(self.weights_decay)
        optimizer = LARS(groups, lr=self.lr, weight_decay=self.weight_decay)
        return [optimizer], [self.schedule.of(optimizer, follows)]

    def batch_losses(self, batch: ImageBatch) -> dict[str, Tensor]:
        views = self.colours(batch.views)
        # One view after the other: a batch norm is to see one kind of views at a time.
        features = torch.stack([self.backbone(view) for view in views])
        keys = torch.stack([self.momentum(view) for view in views])
        losses: dict[str, Tensor] = self.objective(features, keys, batch.labels)
        self._keys.append(keys[0])
        self._note(losses, len(batch))
        return losses

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        skipped = self.skipped
        super().optimizer_step(*args, **kwargs)
        if self.skipped > skipped:
            self._keys = []
        else:
            # Lightning counts this update behind the hook.
            self.accepted(self.trainer.global_step)

    def accepted(self, step: int) -> None:
        """Move what an update moves once it is accepted; `step` counts updates from 0."""
        keys, self._keys = self._keys, []
        self.momentum.update(step, self.schedule.total)
        for rows in keys:
            self.objective.queue.enqueue(of_all(rows))

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        features = self.backbone(self.colours(batch.views)[0])
        logits = self.objective.classifier(features)
        right = (logits.argmax(1) == batch.labels).float().mean()
        loss = self.objective.classified(features[None], batch.labels)
        self._note({DOWNSTREAM: loss, "accuracy": right}, len(batch))

    def _note(self, losses: dict[str, Tensor], images: int) -> None:
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.counts = {name: torch.full_like(loss, images) for name, loss in self.losses.items()}
