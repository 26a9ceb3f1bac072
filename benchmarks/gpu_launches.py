"""The part of `gpu.py` about what the host does: kernels that it starts, and where it waits."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import lightning
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import gpu_steps as steps
from benchmarks.gpu_bench import Bench, Row
from benchmarks.gpu_steps import Cell, Steps
from benchmarks.pretended import OnPretended, pretended
from benchmarks.pretended import Steps as Waits

SYNCHRONISATION = "called a synchronizing CUDA operation"


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How many operations PyTorch is asked for, views left out: a CPU's stand-in for kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # Some answer questions about dtypes.
        of_tensors = any(isinstance(x, torch.Tensor) for x in tree_leaves((args, kwargs, result)))
        self.count += of_tensors and not func.is_view
        return result


def kernels(run: Steps) -> Row:
    """Kernels of a step on a GPU, elsewhere operations."""
    run.step()
    if run.device.type != "cuda":
        with Operations() as counted:
            run.step()
        return {"operations": counted.count}
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run.step()
        torch.cuda.synchronize()
    events = list(profiler.events())
    launched = Counter(event.name for event in events)
    on_device = [e for e in events if e.device_type.name == "CUDA"]
    # The last of them is the one above.
    waits = sum(n for name, n in launched.items() if name.endswith("Synchronize")) - 1
    kernels = sum(not event.name.startswith(("Memcpy", "Memset")) for event in on_device)
    busy = sum(event.device_time_total for event in on_device)
    return {"kernels": kernels, "synchronize_calls": waits, "device_ms": busy / 1e3}


class Warned(lightning.Callback):
    """Synchronisations of every step, as PyTorch warns of them."""

    def __init__(self, found: list[warnings.WarningMessage]) -> None:
        self.found, self.begins = found, list[int]()

    def on_train_batch_start(self, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, *args: Any) -> None:
        self.begins.append(sum(SYNCHRONISATION in str(w.message) for w in self.found))


def synchronisations(bench: Bench, encoder: str, weighting: str) -> int:
    """How often the host waits for the device in a step: the most of some behind the first."""
    config = steps.settings_of(
        bench.prepared, *steps.overrides(encoder, weighting, 16), "batch_size=8"
    )
    module = steps.module_of(bench.prepared, config)
    run, common = bench.work / f"{encoder}_{weighting}", (bench.prepared,)
    run.mkdir(exist_ok=True)
    if bench.device.type != "cuda":
        with pretended() as device:
            waits = Waits(device)
            options: Row = {"strategy": OnPretended(device), "callbacks": [waits]}
            steps.fit(module, *common, run, config, 3, **options)
        return max(map(len, waits.waits()[1:]))
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            warned = Warned(found)
            options = {"accelerator": "gpu", "devices": 1, "callbacks": [warned]}
            steps.fit(module, *common, run, config, 6, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return int(np.diff(warned.begins)[1:].max())


def launches(bench: Bench) -> Iterator[Row]:
    """Kernels and synchronisations of a step."""
    for encoder, weighting in product(steps.ENCODERS, steps.WEIGHTINGS):
        waits = synchronisations(bench, encoder, weighting)
        yield {"encoder": encoder, "weighting": weighting, "synchronisations": waits}
    sizes = [(16, 4, 4, 20)] if bench.quick else [(256, 7, 128, 100), (256, 64, 128, 100)]
    for encoder, size, weighting in product(("gru", "transformer"), sizes, ("equal", "grap")):
        cell = Cell(encoder, *size)
        run = Steps(cell, weighting, bench.device, "float32")
        yield {**vars(cell), "weighting": weighting, **kernels(run)}
