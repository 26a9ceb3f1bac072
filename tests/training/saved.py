"""Checkpoints of a run, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


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
