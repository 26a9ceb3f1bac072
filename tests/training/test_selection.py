"""Which checkpoints a run keeps, and which settings are refused before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from grap_seq import config as configs
from grap_seq.training.pretrain import pretrain
from tests.training.saved import best, last


def settings(shop: Path, run: Path, *extra: str) -> Any:
    small = ["dataset.hidden=8", "event_width=8", "batch_size=16", "trainer.threads=1"]
    names = ["dataset=table", f"prepared={shop}", f"run={run}"]
    return configs.compose("pretrain", [*names, *small, *extra])


def model_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}


def test_best_is_chosen_among_the_scored_epochs(shop: Path, tmp_path: Path) -> None:
    run = pretrain(settings(shop, tmp_path / "run", "epochs=3", "validate_every=2", "select=loss"))
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics["val_loss"].notna().tolist() == [False, True, False]
    # The other epochs are not validated.
    assert metrics["val_loss/kind"].notna().tolist() == [False, True, False]
    assert best(run)["epoch"] == 1
    assert last(run)["epoch"] == 2
    exported, kept = load_file(run / "model.safetensors"), model_of(best(run)["state_dict"])
    assert all(tensor.equal(kept[name]) for name, tensor in exported.items())


def test_last_keeps_the_last_epoch_alone(shop: Path, tmp_path: Path) -> None:
    run = pretrain(settings(shop, tmp_path / "run", "epochs=2", "select=last"))
    assert best(run) is None
    exported, kept = load_file(run / "model.safetensors"), model_of(last(run)["state_dict"])
    assert all(tensor.equal(kept[name]) for name, tensor in exported.items())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("select=best", "one of auto, last, loss, probe"),
        ("trainer.precision=16", "write one of 32-true"),
        ("trainer.matmul_precision=low", "choose one of high, highest, medium"),
        ("trainer.accelerator=tpu", "one of cpu, gpu"),
        ("trainer.max_steps=0", "max_steps=0: write a whole number from 1 up, or -1"),
        ("trainer.threads=0", "threads=0: write a whole number from 1 to 1024 or null"),
        ("trainer.threads=two", "threads=two: write a whole number"),
        ("pooling=median", "one of last"),
        ("objective.coles_reduction=max", "one of mean, sum"),
        ("weighting.normalization=l2", "one of gradnorm"),
        ("weighting.alpha=1", "no setting"),
    ],
)
def test_wrong_choices_are_refused_before_anything_is_written(
    shop: Path, tmp_path: Path, argument: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain(settings(shop, tmp_path / "run", argument))
    assert not (tmp_path / "run").exists()
