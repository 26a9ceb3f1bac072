"""Checkpoints of a run, and whether two runs are the same, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file


def saved(run: Path) -> list[Path]:
    """Its checkpoints, the newest last."""
    return sorted((run / "checkpoints").glob("*.ckpt"))


def last(run: Path) -> dict[str, Any]:
    """Content of the newest."""
    content: dict[str, Any] = torch.load(saved(run)[-1], weights_only=True)
    return content


def best(run: Path) -> dict[str, Any]:
    """What the newest remembers of the best epoch: score, epoch, state_dict."""
    content: dict[str, Any] = last(run)["callbacks"]["Checkpoints"]["best"]
    return content


def assert_same_runs(expected: Path, got: Path) -> None:
    """Model, curves and trajectory agree in every bit, but for measured time and memory."""
    left, right = (load_file(run / "model.safetensors") for run in (expected, got))
    assert left.keys() == right.keys()
    assert not [name for name, tensor in left.items() if not tensor.equal(right[name])]
    measured = "^(?!seconds$|events_per_second$|images_per_second$|peak_memory_mib$)"
    one, two = (pd.read_csv(run / "metrics.csv").filter(regex=measured) for run in (expected, got))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    if (expected / "weights.parquet").is_file():
        one, two = (pd.read_parquet(run / "weights.parquet") for run in (expected, got))
        pd.testing.assert_frame_equal(one, two, check_exact=True)
