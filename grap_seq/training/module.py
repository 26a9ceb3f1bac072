"""The training step, for Lightning's automatic optimisation.

All losses are simply added up: the head bank inside the objective weighs their gradients on the
way to the encoder. Clipping, accumulation and autocast are Lightning's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grap_seq.batch import Batch
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.coles_alone import ColesAlone
from grap_seq.objectives.composite import CompositeObjective, Losses
from grap_seq.training.base import TrainingModule
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.schedule import Schedule
from grap_seq.weighting.base import DOWNSTREAM


class PretrainModule(TrainingModule):
    """Model, objective and optimiser.

    The loss weights are no parameter of the clipped ones: their gradient is in other units.

    Args:
        model: event embedding and encoder.
        objective: losses and weighting.
        seed: seed of the run; random numbers of a step depend on it, the step and the process.
        lr: learning rate of everything but the weights.
        weights_lr: learning rate of the loss weights.
        weights_decay: whether it follows the schedule too.
        schedule: of the learning rate; None: it is constant.
        nonfinite: when refused updates stop the run; None: the third in a row does.
    """

    def __init__(
        self,
        model: SequenceModel,
        objective: CompositeObjective | ColesAlone,
        *,
        seed: int = 0,
        lr: float = 1e-3,
        weights_lr: float = 0.01,
        weights_decay: bool = False,
        schedule: Schedule | None = None,
        nonfinite: Nonfinite | None = None,
    ) -> None:
        super().__init__(seed, lr, schedule, nonfinite)
        self.model, self.objective = model, objective
        self._passes = 0
        self.weights_lr, self.weights_decay = weights_lr, weights_decay

    def configure_optimizers(self) -> Any:
        weighting = self.objective.weighting
        groups: list[dict[str, Any]] = [{"params": self.clipped_parameters()}]
        if weighting.learned:
            groups.append(weighting.parameter_group(self.weights_lr))
        optimizer = torch.optim.Adam(groups, lr=self.lr)
        return [optimizer], [self.schedule.of(optimizer, [True, self.weights_decay][: len(groups)])]

    def idle_parameters(self) -> list[Tensor]:
        # Batches without labels have nothing to say about the loss weights.
        weighting = self.objective.weighting
        return [weighting.weights] if weighting.learned else []

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.objective.weighting.start_epoch()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        self.objective.weighting.observe_backbone(self.model.parameters())
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def keep(self) -> None:
        super().keep()
        self._passes = self.objective.weighting.steps

    def restore(self) -> None:
        super().restore()
        self.objective.weighting.steps = self._passes

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.checked(self.objective.weighting.total(self._losses(batch)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._losses(batch)

    def _losses(self, batch: Batch) -> Losses:
        losses: Losses = self.objective(batch, self.model(batch))
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.counts = dict(self.objective.counts)
        return losses

    def not_finite(self) -> set[str]:
        bank = getattr(self.objective, "bank", None)
        return set() if bank is None else set(bank.not_finite())

    def total_loss(self, losses: dict[str, float]) -> float:
        """Unweighted sum of the pretraining losses, to compare epochs by."""
        return sum(value for name, value in losses.items() if name != DOWNSTREAM)
