"""The parts of `gpu.py`, each a generator of rows: what was measured is kept if the next fails."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator
from itertools import product
from unittest import mock

import numpy as np
import torch

from benchmarks import gpu_steps as steps
from benchmarks.gpu_attention import flexible, ragged
from benchmarks.gpu_bench import Bench, Row
from benchmarks.gpu_launches import launches
from benchmarks.gpu_resumed import resumed
from benchmarks.gpu_steps import Cell, Steps
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import embed_rows
from grap_seq.nn import attention


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
        if bench.losses and cell.losses not in bench.losses:
            continue
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
