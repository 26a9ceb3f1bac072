"""Training under weighed losses, for Lightning's automatic optimisation, whatever the data.

All losses are simply added up: the weighting weighs their gradients on the way to the encoder.
Clipping, accumulation and autocast are Lightning's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from grap_seq.training.base import TrainingModule
from grap_seq.weighting.base import DOWNSTREAM, Weighting


class WeighedModule(TrainingModule):
    """Base of the modules that train by several losses."""

    # Backward passes before the update that is being made.
    _passes = 0

    @property
    @abstractmethod
    def weighting(self) -> Weighting:
        """How the losses are weighed."""

    @abstractmethod
    def backbone_parameters(self) -> Iterable[Tensor]:
        """What the weighed gradient trains."""

    @abstractmethod
    def batch_losses(self, batch: Any) -> Mapping[str, Tensor]:
        """Losses of a batch, shape () each, by name; sets `losses` and `counts`."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.checked(self.weighting.total(self.batch_losses(batch)))

    def idle_parameters(self) -> list[Tensor]:
        # Batches without labels have nothing to say about the loss weights.
        return [self.weighting.weights] if self.weighting.learned else []

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.weighting.start_epoch()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        self.weighting.observe_backbone(self.backbone_parameters())
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def keep(self) -> None:
        super().keep()
        self._passes = self.weighting.steps

    def restore(self) -> None:
        super().restore()
        self.weighting.steps = self._passes

    def total_loss(self, losses: Mapping[str, float]) -> float:
        """Unweighted sum of the pretraining losses, to compare epochs by."""
        return sum(value for name, value in losses.items() if name != DOWNSTREAM)
