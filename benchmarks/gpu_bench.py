"""What all parts of `gpu.py` know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all parts know.

    Attributes:
        device: where to measure.
        quick: small sizes.
        prepared: the small prepared folder.
        work: a folder for runs.
        losses: numbers of losses that step times are wanted of; empty: all of them.
    """

    device: torch.device
    quick: bool
    prepared: Path
    work: Path
    losses: tuple[int, ...] = ()

    def precisions(self) -> list[str]:
        """Those that differ: TF32 is a GPU's."""
        return ["float32", "tf32", "bf16"] if self.device.type == "cuda" else ["float32", "bf16"]
