"""What pretraining and training by the label share: random numbers, clipping, refused updates."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from grap_seq.device import seed_draws
from grap_seq.distributed import summed
from grap_seq.seeds import derived_seed
from grap_seq.terminal import say
from grap_seq.training.refusal import Nonfinite, Part, Refusal, of_all_processes, tensors_of
from grap_seq.training.schedule import Schedule
from grap_seq.training.undo import Undo

# A gradient that overflows at this scale of the loss does so by itself.
SMALLEST_SCALE = 1.0
# Refusals of a run that are told and saved one by one, besides the one that stops it.
TOLD = 10
# What a run that goes on has to know of them.
COUNTS = ("refused", "refused_in_epoch", "refused_in_all", "skipped", "updates")
REMEDY = "Lower lr, or look for extreme values in these sequences"


class TrainingModule(lightning.LightningModule):
    """Base of the modules that Lightning trains.

    An update whose losses or gradients are not finite is refused in all processes: parameters,
    optimiser and buffers stay bit for bit what they were before its first batch. The count of
    steps goes on, and the schedule with it.

    Args:
        seed: seed of the run; random numbers of a step depend on it, the step and the process.
        lr: learning rate of the model.
        schedule: of the learning rate; None: it is constant.
        nonfinite: when refused updates stop the run; None: the third in a row does.

    Attributes:
        pretrained: whether the model is that of a finished run.
        losses: losses of the last batch, shape () each, by name.
        counts: numbers of their entries in this process's part of it, shape () each.
        gradient_norm: norm of the last update's gradient before clipping, shape ().
        refused: updates in a row that were refused; a gradient scaler's back-off is none.
        refused_in_epoch: those of the epoch.
        refused_in_all: those of the run.
        skipped: all updates that were not made, back-offs included.
        updates: of the epoch, made or not.
        batch: the batch that is being trained on.
        batch_number: its number in the epoch.
    """

    # What `batch.events` counts.
    unit = "events"

    def __init__(
        self,
        seed: int,
        lr: float,
        schedule: Schedule | None = None,
        nonfinite: Nonfinite | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.lr, self.schedule = seed, lr, schedule or Schedule()
        self.nonfinite = nonfinite or Nonfinite()
        self.pretrained = False
        self.losses: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.gradient_norm = torch.zeros(())
        self.refused = self.refused_in_epoch = self.refused_in_all = 0
        self.skipped = self.updates = 0
        self.batch: Any = None
        self.batch_number = 0
        # Number, batch and losses of every batch of the update that is being made.
        self._update: list[tuple[int, Any, dict[str, Tensor]]] = []
        self._undo = Undo(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["updates"] = {name: getattr(self, name) for name in COUNTS}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in COUNTS:
            setattr(self, name, checkpoint["updates"][name])

    def on_train_epoch_start(self) -> None:
        self.updates = self.refused_in_epoch = 0

    def on_train_epoch_end(self) -> None:
        """Refuse to go on with, or to save, a model that has not learned or is none any more.

        Raises:
            FloatingPointError: all updates of the epoch were refused, or a parameter or a running
                statistic is not finite.
        """
        epoch = f"epoch {self.current_epoch + 1}"
        if 0 < self.updates == self.refused_in_epoch:
            raise FloatingPointError(
                f"all {self.updates} updates of {epoch} were refused: losses or gradients were not"
                f" finite. {REMEDY}"
            )
        finite = [p.isfinite().all() for p in (*self.parameters(), *running_statistics(self))]
        broken = summed((~torch.stack(finite)).sum())
        if broken:
            raise FloatingPointError(
                f"parameters are not finite at the end of {epoch}: the run has diverged. Lower lr"
            )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batch, self.batch_number = batch, batch_idx
        if not self._update:
            self.keep()
        # Jitter and dropout become a function of these: a resumed run draws the same.
        seed = derived_seed(self.seed, self.global_step, batch_idx, self.global_rank)
        seed_draws(seed, self.device)

    def on_validation_batch_start(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        # The same in every epoch, so that their losses can be compared.
        seed_draws(derived_seed(self.seed, batch_idx, self.global_rank), self.device)

    def keep(self) -> None:
        """Remember what the forward and backward passes of an update change."""
        self._undo.keep()

    def restore(self) -> None:
        """Take these changes back."""
        self._undo.restore()

    def checked(self, total: Tensor) -> Tensor:
        """The sum of the batch's losses, shape (): what `training_step` has to return.

        Where it is not finite its gradient is not either, whatever the losses make of it. The
        processes add up their gradients, so all of them notice, without another collective.
        """
        self._update.append((self.batch_number, self.batch, self.losses))
        return total * torch.where(total.detach().isfinite(), 1.0, torch.nan)

    @abstractmethod
    def compile_parts(self, **options: Any) -> None:
        """Compile in place what takes most of the time; `options` are those of `torch.compile`."""

    def cells(self, batch: Any) -> int:
        """Cells that hold a batch's events, padding included."""
        return int(batch.events)

    def adam(self, groups: list[dict[str, Any]]) -> torch.optim.Adam:
        """Adam with one kernel a group, without a gradient scaler.

        With one, that kernel would divide by the scale after the gradient has been clipped.
        """
        scaled = self._trainer is not None and self._scaler is not None
        return torch.optim.Adam(groups, lr=self.lr, fused=not scaled)

    @property
    def _scaler(self) -> torch.amp.GradScaler | None:
        scaler: torch.amp.GradScaler | None = getattr(self.trainer.precision_plugin, "scaler", None)
        return scaler

    def clipped_parameters(self) -> list[nn.Parameter]:
        """Everything that learns by the losses, and that gradient clipping may scale."""
        return [p for p in self.parameters() if p.requires_grad]

    def idle_parameters(self) -> list[Tensor]:
        """Parameters that a gradient of zeros leaves alone, their optimiser's moments included."""
        return []

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient to a norm (0 or None: do not); refuse the update if it is not finite.

        Raises:
            FloatingPointError: too many refused updates in a row; names losses and sequences.
        """
        gradients = [p.grad for p in self.clipped_parameters() if p.grad is not None]
        self.gradient_norm = torch.nn.utils.get_total_norm(gradients)
        self.updates += 1
        idle = [p for p in self.idle_parameters() if p.grad is not None]
        asked = [self.gradient_norm.isfinite(), *(p.grad.any() for p in idle if p.grad is not None)]
        # The one time in a step that the host has to wait: the answers decide about the update.
        finite, *moved = torch.stack(asked).tolist()
        for parameter, has_moved in zip(idle, moved, strict=True):
            if not has_moved:
                parameter.grad = None
        if finite:
            self.refused = 0
            if gradient_clip_val:
                torch.nn.utils.clip_grads_with_norm_(
                    self.clipped_parameters(), float(gradient_clip_val), self.gradient_norm
                )
        else:
            refusal = self._refusal()
            exempt = not refusal.losses and self._scaler_backs_off(gradients)
            # A parameter without gradient is left alone by the optimiser, its moments included.
            optimizer.zero_grad(set_to_none=True)
            self.restore()
            self.skipped += 1
            if not exempt:
                self._refuse(refusal)
        self._update = []

    def _scaler_backs_off(self, gradients: list[Tensor]) -> bool:
        """Whether the gradient overflowed by its scale alone, which the scaler is about to lower.

        The scaler looked at the gradient before this hook, so it skips this step by itself.
        """
        scaler = self._scaler
        if scaler is None or scaler.get_scale() <= SMALLEST_SCALE:
            return False
        largest = torch.nn.utils.get_total_norm(gradients, norm_type=float("inf"))
        return not largest.isfinite()

    def _refusal(self) -> Refusal:
        """What is to blame; the same in all processes, each of which has to ask."""
        loader: Any = self.trainer.train_dataloader
        # Batches that were not made from a prepared folder have no ids.
        of = getattr(loader.dataset, "of", None)
        name = (lambda number, owner: owner) if of is None else of(self.current_epoch).sequence
        parts = [
            Part(
                f"process{self.global_rank}/batch{number}",
                {loss: float(value) for loss, value in losses.items()},
                [name(number, owner) for owner in batch.owners.unique().tolist()],
                tensors_of(batch),
            )
            for number, batch, losses in self._update
        ]
        return Refusal(of_all_processes(parts), self.not_finite())

    def _refuse(self, refusal: Refusal) -> None:
        """Count, save and tell a refusal.

        Raises:
            FloatingPointError: there were too many in a row.
        """
        self.refused += 1
        self.refused_in_epoch += 1
        self.refused_in_all += 1
        stops = self.refused > self.nonfinite.allowed
        if not stops and self.refused_in_all > TOLD:
            return
        step, epoch, run = self.global_step + 1, self.current_epoch + 1, self.nonfinite.run
        said = f"update {step} (epoch {epoch}) was refused: {refusal}"
        if run is not None:
            said += f"; saved as {refusal.path(run, step)}"
            if self.global_rank == 0:
                refusal.save(run, step, epoch)
        if stops:
            row = f"It is number {self.refused} in a row. " if self.refused > 1 else ""
            raise FloatingPointError(f"{said}. {row}{REMEDY}")
        if self.global_rank == 0:
            say(said)

    def not_finite(self) -> set[str]:
        """Losses whose own gradients in this update are known to be not finite."""
        return set()


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Running means and variances of all batch norms."""
    names = ("running_mean", "running_var")
    found = [getattr(part, name, None) for part in module.modules() for name in names]
    return [value for value in found if isinstance(value, Tensor)]
