"""Training by the label alone: a head on the embedding of every labelled sequence.

From random weights it is the supervised baseline, from a pretrained model it is fine-tuning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from grap_seq.batch import Batch
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.evaluation.scores import score
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.objectives.downstream import label_sum
from grap_seq.objectives.means import means
from grap_seq.schema import Label
from grap_seq.training.base import TrainingModule
from grap_seq.training.checkpoints import SCORE
from grap_seq.training.curves import Curves
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.schedule import Schedule


class SupervisedModule(TrainingModule):
    """Model and head (batch norm, linear) under the label's loss.

    Args:
        model: event embedding and encoder.
        head: embeddings (B, E) to (B, label.outputs).
        label: what it predicts.
        seed: random numbers of a step depend on it, the step and the process.
        lr: learning rate of all parameters that require a gradient.
        schedule: of the learning rate; None: it is constant.
        nonfinite: when refused updates stop the run; None: the third in a row does.
        pretrained: whether the model is that of a finished run.
    """

    def __init__(
        self,
        model: SequenceModel,
        head: nn.Module,
        label: Label,
        *,
        seed: int = 0,
        lr: float = 1e-3,
        schedule: Schedule | None = None,
        nonfinite: Nonfinite | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__(seed, lr, schedule, nonfinite)
        self.pretrained = pretrained
        self.model, self.head, self.label = model, head, label

    def configure_optimizers(self) -> Any:
        optimizer = self.adam([{"params": [p for p in self.parameters() if p.requires_grad]}])
        return [optimizer], [self.schedule.of(optimizer, [True])]

    def on_train_start(self) -> None:
        # A run that goes on inside an epoch does not start it.
        self._freeze()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._freeze()

    def _freeze(self) -> None:
        # A frozen normalisation keeps its statistics too.
        for part in self.model.modules():
            if hasattr(part, "running_mean") and not any(
                p.requires_grad for p in part.parameters()
            ):
                part.training = False

    def compile_parts(self, **options: Any) -> None:
        self.model.compile_parts(**options)

    def cells(self, batch: Batch) -> int:
        return self.model.cells(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        vectors = self.model.embed(batch)
        ((loss, entries),) = means(label_sum(self.label, self.head(vectors), batch.labels))
        self.losses, self.counts = {"label": loss.detach()}, {"label": entries}
        return self.checked(loss)


class HeadScore(Curves):
    """Scores the head on validation after every epoch, and keeps metrics.csv.

    Args:
        run: the run folder.
        val: the validation split; without labels in it there is no score.
        eval_length: last events of a sequence that its embedding sees.
        log_every: steps between two rows of numbers of a step.
    """

    def __init__(self, run: Path, val: Sequences, eval_length: int, log_every: int = 10) -> None:
        super().__init__(run, log_every)
        self.val, self.eval_length = val, eval_length

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        assert isinstance(pl_module, SupervisedModule)
        # One process does it; its embeddings need no collective.
        first = trainer.is_global_zero
        value = head_score(pl_module, self.val, self.eval_length) if first else 0.0
        value = trainer.strategy.broadcast(value)
        pl_module.log(SCORE, value, prog_bar=True, sync_dist=True)
        self.close(trainer, {}, {"val_score": value})


def head_score(module: SupervisedModule, sequences: Sequences, eval_length: int) -> float:
    """Score of the head on the labels of a split; NaN without any, or with one class."""
    examples = sequences.examples()
    if not len(examples):
        return float("nan")
    training = [part.training for part in module.modules()]
    found = embed_rows(
        module.model,
        sequences,
        examples.rows,
        eval_length,
        stops=examples.stops,
        until=examples.until,
    )
    vectors = torch.from_numpy(found)
    module.head.eval()
    with torch.inference_mode():
        outputs = module.head(vectors.to(module.device)).double().cpu()
    for part, was in zip(module.modules(), training, strict=True):
        part.training = was
    predictions = outputs.softmax(1) if module.label.classes else outputs
    return score(examples.labels, predictions.numpy(), module.label)
