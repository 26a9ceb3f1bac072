"""Scores of the epochs, by which a run chooses the weights that it keeps and stops early."""

from __future__ import annotations

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback, EarlyStopping

from grap_seq.data.order import generator
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.embed import embed_rows
from grap_seq.training.checkpoints import MODES, SCORE
from grap_seq.training.criterion import Criterion
from grap_seq.training.module import PretrainModule
from grap_seq.training.recorder import Recorder
from grap_seq.training.stop import inside_epoch


class Selection(Callback):
    """Scores an epoch and closes its row of the metrics.

    Args:
        by: the criterion.
        recorder: receives the score.
        train: the training split.
        val: the validation split.
        every: epochs between two scores.
        sequences: labels of training sequences that the probe is fitted on.
        eval_length: last events of a sequence that its embedding sees.
        seed: seed of the probe and of its sample.
        threads: CPU threads of the probe; None: one per core.
        boosting: LightGBM's settings; None: the protocol's.
    """

    def __init__(
        self,
        by: Criterion,
        recorder: Recorder,
        train: Sequences,
        val: Sequences,
        *,
        every: int = 1,
        sequences: int = 2000,
        eval_length: int = 1200,
        seed: int = 0,
        threads: int | None = None,
        boosting: Boosting | None = None,
    ) -> None:
        self.threads, self.boosting = threads, boosting
        self.by, self.recorder, self.every, self.seed = by, recorder, every, seed
        self.train, self.val, self.eval_length = train, val, eval_length
        labelled = train.examples()
        chosen = generator(seed, 0, purpose=2).permutation(np.arange(len(labelled)))[:sequences]
        self.fitted, self.scored = labelled.take(np.sort(chosen)), val.examples()
        if by == "loss" and int((val.lengths >= 2).sum()) < 2:
            raise ValueError(
                "select=loss needs two validation sequences with two events or more; use"
                " select=last, or a larger validation share"
            )
        if by == "probe" and not self._can_probe():
            raise ValueError(
                "select=probe needs labelled sequences with at least two different labels in"
                " train and in val; use select=loss or select=last, or a larger validation share"
            )

    def _can_probe(self) -> bool:
        return all(len(np.unique(part.labels)) > 1 for part in (self.fitted, self.scored))

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        extra: dict[str, float] = {}
        losses = self.recorder.validation_losses()
        if (trainer.current_epoch + 1) % self.every == 0:
            if self.by == "probe":
                # One process does it; its embeddings need no collective.
                value = self._probe(pl_module) if trainer.is_global_zero else 0.0
                extra["val_probe"] = trainer.strategy.broadcast(value)
            if losses:
                extra["val_loss"] = pl_module.total_loss(losses)
        self.recorder.close(trainer, losses, extra)
        score = {"probe": extra.get("val_probe"), "loss": extra.get("val_loss")}.get(self.by)
        if score is not None:
            pl_module.log(SCORE, score, prog_bar=True, sync_dist=True)

    def _probe(self, module: PretrainModule) -> float:
        # LightGBM, which a run without a probe does not need.
        from grap_seq.evaluation.protocol import probe

        train, val = (
            embed_rows(
                module.model,
                sequences,
                part.rows,
                self.eval_length,
                stops=part.stops,
                until=part.until,
            )
            for sequences, part in ((self.train, self.fitted), (self.val, self.scored))
        )
        label = self.train.label
        assert label is not None
        module.model.train()
        return probe(
            train,
            self.fitted.labels,
            val,
            self.scored.labels,
            label,
            seed=self.seed,
            threads=self.threads,
            boosting=self.boosting,
        )


class Patience(EarlyStopping):
    """Stops the run after so many scored epochs without a better one.

    Args:
        patience: number of these epochs.
        mode: "max" or "min": which score is the better one.
        every: epochs between two scores.
    """

    def __init__(self, patience: int, mode: str, every: int = 1) -> None:
        # Asked for here alone: Lightning would ask behind a validation, before there is a score.
        super().__init__(
            SCORE,
            patience=patience,
            mode=mode,
            check_finite=False,
            check_on_train_epoch_end=True,
        )
        self.every = every

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # A run that was killed behind its last epoch has nothing left to do.
        trainer.should_stop |= self.wait_count >= self.patience

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if not inside_epoch(trainer) and (trainer.current_epoch + 1) % self.every == 0:
            self._run_early_stopping_check(trainer)


def patience(by: Criterion, epochs: int, every: int = 1) -> list[Patience]:
    """Early stopping by the score that selects the weights, if there is one and patience ends."""
    if by == "last" or not epochs:
        return []
    return [Patience(epochs, MODES[by], every)]
