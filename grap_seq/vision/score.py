"""The classifier's accuracy on validation images, after every epoch."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import Callback

from grap_seq.training.recorder import Recorder


class OnlineScore(Callback):
    """Closes an epoch's row of the metrics with the accuracy of the online classifier.

    Args:
        recorder: knows the validation means.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        means = self.recorder.validation_losses()
        # None of a run that was told to stop inside the epoch.
        scores = {"val_accuracy": means.pop("accuracy")} if means else {}
        self.recorder.close(trainer, means, scores)
