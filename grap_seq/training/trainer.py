"""Lightning's trainer as the `trainer` configs describe it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from rich.console import Console

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def build_trainer(config: Any, callbacks: Sequence[Callback]) -> lightning.Trainer:
    """A trainer with the epochs, clipping and `trainer` section of a config."""
    shown = Console().is_terminal
    _quiet()
    return lightning.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.trainer.precision,
        max_epochs=config.epochs,
        max_steps=config.trainer.max_steps,
        gradient_clip_val=config.clip,
        accumulate_grad_batches=config.accumulate,
        callbacks=[*callbacks, *([RichProgressBar()] if shown else [])],
        logger=False,
        enable_progress_bar=shown,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
    )


def _quiet() -> None:
    """Keep Lightning's advertisements and its advice on other set-ups off the screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (
        ".*treespec.*",
        ".*does not have many workers.*",
        ".*could not find the monitored key.*",
        ".*no `val_dataloader`.*",
        ".*have no `validation_step`.*",
    ):
        warnings.filterwarnings("ignore", message=text)


def check_trainer(trainer: Any) -> None:
    """Refuse a trainer that this machine cannot run.

    Raises:
        ValueError: no GPU where one is asked for, or a precision that is unknown or not for it.
    """
    if trainer.precision not in PRECISIONS:
        choices = ", ".join(PRECISIONS)
        raise ValueError(f"trainer.precision={trainer.precision}: choose one of {choices}")
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: PyTorch finds no GPU on this machine; use trainer=cpu")
    if trainer.accelerator == "cpu" and trainer.precision == "16-mixed":
        raise ValueError("trainer.precision=16-mixed needs a GPU; use bf16-mixed or 32-true here")
    brain_float = trainer.precision == "bf16-mixed" and trainer.accelerator == "gpu"
    if brain_float and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"{torch.cuda.get_device_name()} has no bfloat16; use trainer.precision=16-mixed"
        )
