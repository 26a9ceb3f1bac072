"""What pretraining and training by the label share: random numbers, clipping, refused updates."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn

from grap_seq.seeds import derived_seed
from grap_seq.training.schedule import Schedule

# A single bad batch is bad luck, several in a row are a diverged run.
REFUSED_IN_A_ROW = 3
# A gradient that overflows at this scale of the loss does so by itself.
SMALLEST_SCALE = 1.0


class TrainingModule(lightning.LightningModule):
    """Base of the modules that Lightning trains.

    Args:
        seed: seed of the run; random numbers of a step depend on it, the step and the process.
        lr: learning rate of the model.
        schedule: of the learning rate; None: it is constant.

    Attributes:
        losses: losses of the last batch, shape () each, by name.
        counts: numbers of their entries in this process's part of it, shape () each.
        gradient_norm: norm of the last update's gradient before clipping, shape ().
        refused: updates in a row that were refused.
        skipped: all updates that were not made, a gradient scaler's included.
        batch: the batch that is being trained on.
        batch_number: its number in the epoch.
    """

    def __init__(self, seed: int, lr: float, schedule: Schedule | None) -> None:
        super().__init__()
        self.seed, self.lr, self.schedule = seed, lr, schedule or Schedule()
        self.losses: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.gradient_norm = torch.zeros(())
        self.refused, self.skipped = 0, 0
        self.batch: Any = None
        self.batch_number = 0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batch, self.batch_number = batch, batch_idx
        # Jitter and dropout become a function of these: a resumed run draws the same.
        torch.manual_seed(derived_seed(self.seed, self.global_step, batch_idx, self.global_rank))

    def on_validation_batch_start(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        # The same in every epoch, so that their losses can be compared.
        torch.manual_seed(derived_seed(self.seed, batch_idx, self.global_rank))

    def clipped_parameters(self) -> list[nn.Parameter]:
        """Everything that learns by the losses, and that gradient clipping may scale."""
        return [p for p in self.parameters() if p.requires_grad]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient to a norm (0 or None: do not); refuse the update if it is not finite.

        Raises:
            FloatingPointError: the third refused update in a row; names the losses.
        """
        gradients = [p.grad for p in self.clipped_parameters() if p.grad is not None]
        self.gradient_norm = torch.nn.utils.get_total_norm(gradients)
        # The one value a step that the host has to wait for: it decides about the update.
        if self.gradient_norm.isfinite():
            self.refused = 0
            if gradient_clip_val:
                torch.nn.utils.clip_grads_with_norm_(
                    self.clipped_parameters(), float(gradient_clip_val), self.gradient_norm
                )
            return
        backs_off = self._scaler_backs_off(gradients)
        # A parameter without gradient is left alone by the optimiser, its moments included.
        optimizer.zero_grad(set_to_none=True)
        self.skipped += 1
        if backs_off:
            return
        self.refused += 1
        if self.refused >= REFUSED_IN_A_ROW:
            raise FloatingPointError(
                f"{self.refused} batches in a row had gradients that are not finite, at step"
                f" {self.global_step}; losses concerned: {', '.join(self.culprits())}. Lower lr,"
                " or look for extreme values in these fields"
            )

    def _scaler_backs_off(self, gradients: list[Tensor]) -> bool:
        """Whether the gradient overflowed by its scale alone, which the scaler is about to lower.

        The scaler looked at the gradient before this hook, so it skips this step by itself.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is None or scaler.get_scale() <= SMALLEST_SCALE:
            return False
        largest = torch.nn.utils.get_total_norm(gradients, norm_type=float("inf"))
        return not largest.isfinite() and all(bool(v.isfinite()) for v in self.losses.values())

    def culprits(self) -> list[str]:
        """Losses that are to blame for a gradient that is not finite."""
        bad = {name for name, loss in self.losses.items() if not loss.isfinite()}
        return sorted(bad | self.not_finite()) or ["all finite; the encoder's own gradient is not"]

    def not_finite(self) -> set[str]:
        """Losses whose own gradient is known to be not finite."""
        return set()
