"""What docs/gpu.md computes, beside what PyTorch counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu_plan, step_memory
from grap_seq.training.memory_estimate import Sizes
from tests.shop import TIMES


@pytest.mark.parametrize("encoder", ["gru", "transformer"])
def test_operations_are_those_that_pytorch_counts(shop: Path, encoder: str) -> None:
    case = {"data": "table", "batch": 40, "length": 100, "hidden": 96, "more": TIMES}
    step = step_memory.training(shop, encoder, case, "32-true")
    batch, sizes = step.batch(0), Sizes.of(step.module)
    assert sizes is not None
    each = gpu_plan.operations(step.module, sizes, batch.layout.sizes)
    assert each * batch.events == pytest.approx(step.operations(0), rel=0.2)


def test_every_dataset_of_the_paper_has_a_row() -> None:
    assert len(gpu_plan.epochs(0.06, 0.05).rows) == len(gpu_plan.DATASETS) * len(gpu_plan.ENCODERS)


def test_memory_grows_with_the_batch() -> None:
    columns = gpu_plan.memory().columns
    small, large = (
        [float(str(cell).split()[0]) for cell in columns[place].cells] for place in (3, 5)
    )
    assert all(10 * less < more < 20 * less for less, more in zip(small, large, strict=True))
