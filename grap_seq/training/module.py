"""The training step, for Lightning's automatic optimisation.

All losses are simply added up: the head bank inside the objective weighs their gradients on the
way to the encoder. Clipping, accumulation and autocast are Lightning's own.
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor

from grap_seq.batch import Batch
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.coles_alone import ColesAlone
from grap_seq.objectives.composite import CompositeObjective, Losses
from grap_seq.seeds import derived_seed
from grap_seq.weighting.base import DOWNSTREAM

# A single bad batch is bad luck, several in a row are a diverged run.
REFUSED_IN_A_ROW = 3


class PretrainModule(lightning.LightningModule):
    """Model, objective and optimiser.

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
        objective: CompositeObjective | ColesAlone,
        *,
        seed: int = 0,
        lr: float = 1e-3,
        weights_lr: float = 0.01,
        lr_step: int = 5,
        lr_gamma: float = 0.8,
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.seed, self.lr, self.weights_lr = seed, lr, weights_lr
        self.lr_step, self.lr_gamma = lr_step, lr_gamma
        self.losses: Losses = {}
        self.gradient_norm = 0.0
        self.refused = 0

    def configure_optimizers(self) -> Any:
        weighting = self.objective.weighting
        groups: list[dict[str, Any]] = [{"params": self.parameters_without_weights()}]
        decays = [lambda epoch: self.lr_gamma ** (epoch // self.lr_step)]
        if weighting.learned:
            groups.append(weighting.parameter_group(self.weights_lr))
            decays.append(lambda epoch: 1.0)
        optimizer = torch.optim.Adam(groups, lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, decays)]

    def on_train_epoch_start(self) -> None:
        self.objective.weighting.start_epoch()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Jitter and dropout become a function of these: a resumed run draws the same.
        torch.manual_seed(derived_seed(self.seed, self.global_step, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.losses = self.objective(batch, self.model(batch))
        return self.objective.weighting.total(self.losses)

    def validation_step(self, batch: Batch, batch_idx: int) -> Losses:
        return dict(self.objective(batch, self.model(batch)))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the model's gradients; refuse the whole update where they are not finite.

        The loss weights stay out of the norm: their gradient is in other units.

        Raises:
            FloatingPointError: the third refused update in a row; names the losses.
        """
        gradients = [p.grad for p in self.parameters_without_weights() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.gradient_norm = float(norm)
        if norm.isfinite():
            self.refused = 0
            if gradient_clip_val is not None:
                torch.nn.utils.clip_grads_with_norm_(
                    self.parameters_without_weights(), float(gradient_clip_val), norm
                )
            return
        self.refused += 1
        # A parameter without gradient is left alone by the optimiser, its moments included.
        optimizer.zero_grad(set_to_none=True)
        if self.refused >= REFUSED_IN_A_ROW:
            raise FloatingPointError(
                f"{self.refused} batches in a row had gradients that are not finite, at step"
                f" {self.global_step}; losses concerned: {', '.join(self._culprits())}. Lower lr,"
                " or look for extreme values in these fields"
            )

    def parameters_without_weights(self) -> list[torch.nn.Parameter]:
        """Everything that learns by the losses, and that gradient clipping may scale."""
        return [p for p in self.parameters() if p.requires_grad]

    def _culprits(self) -> list[str]:
        bad = {name for name, loss in self.losses.items() if not loss.isfinite()}
        bad |= set(self.objective.weighting.not_finite())
        return sorted(bad) or ["all finite; the encoder's own gradient overflowed"]

    def total_loss(self, losses: dict[str, float]) -> float:
        """Unweighted sum of the pretraining losses, to compare epochs by."""
        return sum(value for name, value in losses.items() if name != DOWNSTREAM)
