"""The peak is that of what happens between `restart` and `peak`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from grap_seq.training import peak_memory
from grap_seq.training.peak_memory import MIB, peak, restart

CPU = torch.device("cpu")


def hold(mib: int) -> None:
    """Take memory, write to every page of it, and give it back."""
    np.zeros(mib * MIB, np.uint8)[:: 2**12] = 1


def test_what_was_taken_and_given_back_counts_until_a_restart() -> None:
    restart(CPU)
    before = peak(CPU)
    hold(300)
    assert before + 250 < peak(CPU) < before + 350
    restart(CPU)
    assert peak(CPU) < before + 50


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peak_memory, "_PROCESS", tmp_path / "absent")
    restart(CPU)
    assert math.isnan(peak(CPU))
