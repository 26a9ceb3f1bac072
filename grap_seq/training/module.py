"""The training step, for Lightning's automatic optimisation.

All losses are simply added up: the head bank inside the objective weighs their gradients on the
way to the encoder. Clipping, accumulation and autocast are Lightning's own.
"""

from __future__ import annotations

from typing import Any

import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor

from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.composite import CompositeObjective, Losses
from grap_seq.training.base import TrainingModule
from grap_seq.weighting.base import DOWNSTREAM

Batch = list[PaddedBatch]


class PretrainModule(TrainingModule):
    """Model, objective and optimiser.

    The loss weights are no parameter of the clipped ones: their gradient is in other units.

    Args:
        model: event embedding and encoder.
        objective: losses and weighting.
        seed: seed of the run; random numbers of a step depend on it, the step and the process.
        lr: learning rate of everything but the weights.
        weights_lr: learning rate of the loss weights; it does not decay.
        lr_step: epochs between decays.
        lr_gamma: factor of a decay.
    """

    def __init__(
        self,
        model: SequenceModel,
        objective: CompositeObjective,
        *,
        seed: int = 0,
        lr: float = 1e-3,
        weights_lr: float = 0.01,
        lr_step: int = 5,
        lr_gamma: float = 0.8,
    ) -> None:
        super().__init__(seed, lr, lr_step, lr_gamma)
        self.model, self.objective, self.weights_lr = model, objective, weights_lr

    def configure_optimizers(self) -> Any:
        weighting = self.objective.weighting
        groups: list[dict[str, Any]] = [{"params": self.clipped_parameters()}]
        decays = [lambda epoch: self.lr_gamma ** (epoch // self.lr_step)]
        if weighting.learned:
            groups.append(weighting.parameter_group(self.weights_lr))
            decays.append(lambda epoch: 1.0)
        optimizer = torch.optim.Adam(groups, lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, decays)]

    def on_train_epoch_start(self) -> None:
        self.objective.weighting.start_epoch()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.objective.weighting.total(self._losses(batch))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._losses(batch)

    def _losses(self, batch: Batch) -> Losses:
        losses: Losses = self.objective(batch, self.model(batch))
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.counts = dict(self.objective.counts)
        return losses

    def not_finite(self) -> set[str]:
        return set(self.objective.weighting.not_finite())

    def total_loss(self, losses: dict[str, float]) -> float:
        """Unweighted sum of the pretraining losses, to compare epochs by."""
        return sum(value for name, value in losses.items() if name != DOWNSTREAM)
