"""Tests do not see what others left behind."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.isolation import isolated


def test_a_process_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Restored by monkeypatch should the restoring under test fail.
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setenv("GRAP_SEQ_TEST", "before")
    threads, dtype, folder = torch.get_num_threads(), torch.get_default_dtype(), Path.cwd()
    errors, precision = np.geterr(), torch.get_float32_matmul_precision()
    tf32 = torch.backends.cudnn.allow_tf32
    with isolated():
        torch.set_num_threads(threads + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        torch.set_grad_enabled(False)
        torch.backends.cudnn.allow_tf32 = not tf32
        np.seterr(all="raise")
        os.chdir(tmp_path)
        os.environ["GRAP_SEQ_TEST"] = "after"
        os.environ["GRAP_SEQ_OTHER"] = "after"
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert torch.get_float32_matmul_precision() == precision
    assert torch.is_grad_enabled()
    assert torch.backends.cudnn.allow_tf32 == tf32
    assert np.geterr() == errors
    assert Path.cwd() == folder
    assert os.environ["GRAP_SEQ_TEST"] == "before"
    assert "GRAP_SEQ_OTHER" not in os.environ


def test_random_numbers_start_anew() -> None:
    drawn = []
    for _ in range(2):
        with isolated():
            legacy = np.random.rand()  # noqa: NPY002 - what libraries may use
            drawn.append((random.random(), legacy, *torch.rand(3).tolist()))
    assert drawn[0] == drawn[1]
