"""The parts of `gpu.py`, each a generator of rows: what was measured is kept if the next fails."""

from __future__ import annotations

import gc
import os
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import gpu_steps as steps
from benchmarks.gpu_steps import Cell, Steps
from benchmarks.pretended import OnPretended, pretended
from benchmarks.pretended import Steps as Waits
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.files import sha256
from grap_seq.nn import attention
from grap_seq.nn.history_tokens import insert

Row = dict[str, Any]
HERE = Path(__file__).resolve().parents[1]
# Seconds that one training run may take.
LONGEST = 100
SYNCHRONISATION = "called a synchronizing CUDA operation"


@dataclass(frozen=True)
class Bench:
    """What all parts know.

    Attributes:
        device: where to measure.
        quick: small sizes.
        prepared: the small prepared folder.
        work: a folder for runs.
    """

    device: torch.device
    quick: bool
    prepared: Path
    work: Path

    def precisions(self) -> list[str]:
        """Those that differ: TF32 is a GPU's."""
        return ["float32", "tf32", "bf16"] if self.device.type == "cuda" else ["float32", "bf16"]


def correct(bench: Bench) -> Iterator[Row]:
    """Losses and gradients of a step against the CPU's in float64."""
    hidden = 16 if bench.quick else 64
    for encoder, weighting in product(steps.ENCODERS, steps.WEIGHTINGS):
        config = steps.settings_of(bench.prepared, *steps.overrides(encoder, weighting, hidden))
        batch = steps.batch_of(bench.prepared, config, 8 if bench.quick else 64)
        exact = steps.module_of(bench.prepared, config).double()
        wanted = steps.step_of(exact, steps.in_double(batch))
        for precision in bench.precisions():
            module = steps.module_of(bench.prepared, config).to(bench.device)
            found = steps.step_of(module, batch.sent(bench.device), precision)
            losses = [
                abs(found.losses[name] - value) / max(abs(value), 1e-6)
                for name, value in wanted.losses.items()
            ]
            error = steps.relative(found.gradient, wanted.gradient)
            bound = steps.PRECISIONS[precision].error
            yield {
                **{"encoder": encoder, "weighting": weighting, "precision": precision},
                **{"loss_error": max(losses), "gradient_error": error, "bound": bound},
                "ok": max(*losses, error) <= bound,
            }
    yield from flexible(bench)


def flexible(bench: Bench) -> Iterator[Row]:
    """FlexAttention's values and gradients against those of the mask, by the length of rows."""
    if bench.device.type != "cuda":
        return
    for length in (256, 1024, 4096):
        torch.manual_seed(0)
        after = torch.arange(9, length, 10)
        history = insert(after, length, "random").sent(bench.device)
        shape = (1, 4, length + len(after), 64)
        parts = [torch.randn(shape, device=bench.device) for _ in range(3)]
        way = torch.randn(shape, device=bench.device)
        answers = []
        for least in (0, 1 << 30):
            leaves = [part.clone().requires_grad_() for part in parts]
            with (
                mock.patch.object(attention, "FLEX_TOKENS", least),
                steps.rounded("float32", bench.device),
            ):
                query, key, value = leaves
                out = attention.attend(query, key, value, history)
                gradients = torch.autograd.grad(out, leaves, way)
            answers.append(torch.cat([x.detach().double().flatten() for x in (out, *gradients)]))
        error = steps.relative(*answers)
        yield {"flex_attention": length, "error": error, "bound": 1e-3, "ok": error <= 1e-3}


def cells(quick: bool) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """What is timed, and in which precisions; the most wanted first."""
    every = ("float32", "tf32", "bf16")
    if quick:
        yield Cell("gru", 16, 4, 4, 20), ("float32", "bf16")
        yield Cell("transformer", 16, 4, 4, 20), ("float32",)
        yield Cell("ht_transformer", 16, 7, 2, 32), ("float32",)
        return
    for losses, (encoder, hidden) in product(
        (7, 19, 4, 64), (("gru", 256), ("transformer", 256), ("gru", 1024))
    ):
        yield Cell(encoder, hidden, losses, 128, 100), every
    # FlexAttention is compiled for each of them.
    for length in (1024, 256, 4096):
        yield Cell("ht_transformer", 256, 7, 65_536 // length, length), ("tf32", "bf16", "float32")


def speed(bench: Bench) -> Iterator[Row]:
    """Step time and peak memory, GraP beside equal weights."""
    count, warm = (2, 1) if bench.quick else (12, 3)
    runs: list[Steps] = []
    for cell, precisions in cells(bench.quick):
        # FlexAttention also for rows so short that a mask is used otherwise.
        least = mock.patch.object(attention, "FLEX_TOKENS", 0)
        for precision in precisions:
            runs.clear()
            gc.collect()
            with least:
                yield _compared(bench, cell, precision, runs, count, warm)


def _compared(
    bench: Bench, cell: Cell, precision: str, runs: list[Steps], count: int, warm: int
) -> Row:
    peaks = []
    for name in ("equal", "grap"):
        # Alone on the device; it stays there while the next one is made.
        held = torch.cuda.memory_allocated() if bench.device.type == "cuda" else 0
        runs.append(Steps(cell, name, bench.device, precision))
        for _ in range(warm):
            runs[-1].step()
        top = steps.peak(runs[-1].step, bench.device)
        peaks.append(None if top is None else top - held / 1e6)
    equal, grap = steps.in_turns(runs, count)
    row = {**vars(cell), "precision": precision, "steps": count}
    row |= {"equal_ms": statistics.median(equal), "grap_ms": statistics.median(grap)}
    row["grap_over_equal"] = steps.ratio(grap, equal)
    row["events_per_second"] = cell.rows * cell.length / row["grap_ms"] * 1e3
    if peaks[0] is not None and peaks[1] is not None:
        row |= {"equal_mb": peaks[0], "grap_mb": peaks[1]}
        row["memory_over_equal"] = peaks[1] / peaks[0]
    return row


def ragged(bench: Bench) -> Iterator[Row]:
    """Attention forwards and backwards at lengths that differ, as they do from batch to batch."""
    lengths = (17, 29) if bench.quick else (301, 517, 640, 733, 811, 1001)
    for chosen in ("ours", "PyTorch's"):
        # Of the two, the second one finds everything else loaded.
        first, again = [], []
        least = mock.patch.object(attention, "_kernels", return_value=nullcontext())
        with nullcontext() if chosen == "ours" else least:
            for length in (lengths[0] - 1, *lengths):
                parts = torch.randn(3, 4, 4, length, 32, device=bench.device, dtype=torch.bfloat16)
                query, key, value = parts.requires_grad_().unbind()

                def both(q: Tensor = query, k: Tensor = key, v: Tensor = value) -> None:
                    torch.autograd.backward(attention.attend(q, k, v).sum(), retain_graph=True)

                first.append(steps.timed(both, bench.device))
                again.append(steps.timed(both, bench.device))
        row = {"choice": chosen, "lengths": len(lengths)}
        yield row | {
            "first_ms": statistics.median(first[1:]),
            "again_ms": statistics.median(again[1:]),
        }


def share(bench: Bench) -> Iterator[Row]:
    """Floating-point operations a second of a step, and of one large product."""
    small = [Cell("gru", 16, 4, 4, 20), Cell("transformer", 16, 4, 4, 20)]
    large = [Cell(name, 256, 7, 128, 100) for name in ("gru", "transformer")]
    large.append(Cell("gru", 1024, 7, 128, 100))
    for precision in bench.precisions():
        best = steps.product_speed(bench.device, precision, 256 if bench.quick else 8192)
        for cell in small if bench.quick else large:
            run = Steps(cell, "grap", bench.device, precision)
            operations = run.operations()
            run.step()
            taken = statistics.median(steps.timed(run.step, bench.device) for _ in range(5))
            reached = operations / (taken / 1e3)
            yield {
                **vars(cell),
                **{"precision": precision, "tflops": reached / 1e12},
                **{"product_tflops": best / 1e12, "share": reached / best},
            }


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


def embedding(bench: Bench) -> Iterator[Row]:
    """Events per second of embedding a split."""
    train = Sequences(bench.prepared, "train")
    rows = np.arange(len(train))
    if not bench.quick:
        # The sequences again and again, until there is something to measure.
        rows = np.tile(rows, 20)
    events = int(train.lengths[rows].sum())
    for encoder in steps.ENCODERS:
        hidden = 16 if bench.quick else 256
        config = steps.settings_of(bench.prepared, *steps.overrides(encoder, "equal", hidden))
        model = steps.module_of(bench.prepared, config).model.to(bench.device)
        embed_rows(model, train, rows[:8], 400)
        start = time.perf_counter()
        embed_rows(model, train, rows, 400)
        yield {
            **{"encoder": encoder, "hidden": hidden, "events": events},
            "events_per_second": events / (time.perf_counter() - start),
        }


def resumed(bench: Bench) -> Iterator[Row]:
    """A deterministic run, killed and resumed, beside one that was left alone: the same bits."""
    count = 12 if bench.quick else 200
    hashes = {}
    for name in ("whole", "killed"):
        run = bench.work / name
        if name == "killed":
            process = _started(bench, run, count)
            files = run / "checkpoints"
            end = time.monotonic() + LONGEST
            # The first one may be in its place and not yet recorded.
            while process.poll() is None and len(list(files.glob("step-*.ckpt"))) < 2:
                time.sleep(0.02)
                if time.monotonic() > end:
                    break
            died = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        finished = _started(bench, run, count, "resume=true" if name == "killed" else "")
        try:
            output, _ = finished.communicate(timeout=LONGEST)
        finally:
            finished.kill()
        if finished.returncode:
            raise RuntimeError(f"the run {name} ended with {finished.returncode}: {output[-800:]}")
        hashes[name] = sha256(run / "model.safetensors")
    yield {"steps": count, "killed": died, "equal": hashes["whole"] == hashes["killed"]}


def _started(bench: Bench, run: Path, count: int, more: str = "") -> subprocess.Popen[str]:
    trainer = "gpu" if bench.device.type == "cuda" else "cpu"
    size = 16 if bench.quick else 128
    chosen = steps.overrides("gru", "grap", size, f"trainer={trainer}", f"run={run}")
    every = 2 if bench.quick else 20
    chosen += [f"prepared={bench.prepared}", "batch_size=16", "select=last", "epochs=100"]
    chosen += [f"trainer.max_steps={count}", f"checkpoint_every={every}", "trainer.workers=0"]
    code = (
        "import sys, torch, grap_seq.cli as cli;"
        "torch.use_deterministic_algorithms(True, warn_only=True); cli.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "pretrain", *chosen, *([more] if more else [])],
        cwd=HERE,
        env=os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONPATH": _paths()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _paths() -> str:
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


# Letter, name, function, share of the time.
PARTS = {
    "a": ("losses and gradients against float64", correct),
    "b": ("step time and memory", speed),
    "c": ("operations against a large product", share),
    "d": ("kernels and synchronisations", launches),
    "e": ("embedding", embedding),
    "f": ("killed and resumed", resumed),
    "g": ("attention of rows of changing lengths", ragged),
}
