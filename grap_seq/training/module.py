"""Pretraining of an encoder of event sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from grap_seq.batch import Batch
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.coles_alone import ColesAlone
from grap_seq.objectives.composite import CompositeObjective, Losses
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.schedule import Schedule
from grap_seq.training.weighed import WeighedModule
from grap_seq.weighting.base import Weighting


class PretrainModule(WeighedModule):
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
        self.weights_lr, self.weights_decay = weights_lr, weights_decay

    @property
    def weighting(self) -> Weighting:
        return self.objective.weighting

    def backbone_parameters(self) -> Iterable[Tensor]:
        return self.model.parameters()

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = [{"params": self.clipped_parameters()}]
        if self.weighting.learned:
            groups.append(self.weighting.parameter_group(self.weights_lr))
        optimizer = self.adam(groups)
        return [optimizer], [self.schedule.of(optimizer, [True, self.weights_decay][: len(groups)])]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.batch_losses(batch)

    def batch_losses(self, batch: Batch) -> Losses:
        losses: Losses = self.objective(batch, self.model(batch))
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.counts = dict(self.objective.counts)
        return losses

    def compile_parts(self, **options: Any) -> None:
        self.model.compile_parts(**options)
        self.objective.compile_parts(**options)

    def cells(self, batch: Batch) -> int:
        return self.model.cells(batch)

    def not_finite(self) -> set[str]:
        bank = getattr(self.objective, "bank", None)
        return set() if bank is None else set(bank.not_finite())
