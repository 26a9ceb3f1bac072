"""What GraP costs on images: time and peak memory of a step, divided by equal weights'.

ResNet-18 with the stem for small images, all heads at their published widths, random images of
32 x 32 pixels, the queue of 98,304 keys. Steps of both alternate in one process for time; on a CPU
that is the process's, and memory has a process each.

    python benchmarks/vision_cost.py --steps 5
    python benchmarks/vision_cost.py --steps 20 --images 256 --device cuda
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import gpu_steps
from benchmarks.memory import resident
from grap_seq import config as configs
from grap_seq.device import device_of
from grap_seq.files import write_json
from grap_seq.vision.batch import ImageBatch
from grap_seq.vision.build import build_module
from grap_seq.vision.module import VisionModule

RESULTS = Path(__file__).parent / "results"
METHODS = ("equal", "grap")
STEPS, CLASSES = 1000, 10


def module(
    weighting: str, images: int, device: torch.device
) -> tuple[VisionModule, torch.optim.Optimizer]:
    """The training module and its optimiser as `grap-seq vision` builds them."""
    words = ["data=cifar10", "backbone=resnet18", f"weighting={weighting}", f"batch_size={images}"]
    built = build_module(configs.compose("vision", words), CLASSES, STEPS).to(device)
    (optimizer,), _ = built.configure_optimizers()
    return built, optimizer


def batch(images: int, number: int, device: torch.device) -> ImageBatch:
    """Random images with random labels."""
    drawn = torch.Generator().manual_seed(number)
    views = torch.rand(2, images, 3, 32, 32, generator=drawn)
    labels = torch.randint(CLASSES, (images,), generator=drawn)
    return ImageBatch(views, labels, torch.arange(images)).sent(device)


def step(run: tuple[VisionModule, torch.optim.Optimizer], images: ImageBatch, number: int) -> None:
    """One update with all that it moves."""
    model, optimizer = run
    optimizer.zero_grad()
    losses = model.batch_losses(images)
    torch.autograd.backward(model.weighting.total(losses))
    model.configure_gradient_clipping(optimizer)
    optimizer.step()
    model.accepted(number)


def time_ratio(images: int, steps: int, device: torch.device) -> dict[str, Any]:
    """Median over steps of GraP's time divided by equal weights' on the same batch."""
    runs = {name: module(name, images, device) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for number in range(steps + 1):
        given = batch(images, number, device)
        for name in METHODS if number % 2 else METHODS[::-1]:
            call = partial(step, runs[name], given, number)
            taken = gpu_steps.timed(call, device) / 1e3
            # The first one allocates.
            if number:
                seconds[name].append(taken)
    ratios = [g / e for g, e in zip(seconds["grap"], seconds["equal"], strict=True)]
    medians = {f"{name}_seconds": statistics.median(seconds[name]) for name in METHODS}
    spread = {"lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
    return {"time_ratio": statistics.median(ratios), **spread, **medians}


def peak_memory(weighting: str, images: int, queue: multiprocessing.Queue[float]) -> None:
    """Peak resident memory of two steps above the memory before the first, in MB."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    run = module(weighting, images, device)
    before = resident("VmRSS")
    for number in range(2):
        step(run, batch(images, number, device), number)
    peak = resident("VmHWM")
    queue.put((peak - before) / 1e6)


def memory(weighting: str, images: int, device: torch.device) -> float:
    """Of a step: on a CPU `peak_memory` in a fresh process, on a GPU what is allocated at most."""
    if device.type == "cuda":
        run, given = module(weighting, images, device), batch(images, 0, device)
        step(run, given, 0)
        held = torch.cuda.memory_allocated(device) / 1e6
        top = gpu_steps.peak(partial(step, run, given, 1), device)
        assert top is not None
        return top - held
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=peak_memory, args=(weighting, images, queue))
    process.start()
    value = queue.get(timeout=600)
    process.join()
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = device_of(arguments.device)
    result = time_ratio(arguments.images, arguments.steps, device)
    result |= {f"{name}_megabytes": memory(name, arguments.images, device) for name in METHODS}
    result["memory_ratio"] = result["grap_megabytes"] / result["equal_megabytes"]
    result |= vars(arguments)
    if device.type == "cuda":
        result["card"] = torch.cuda.get_device_name(device)
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"vision_cost{'_cuda' * (device.type == 'cuda')}.json", result)
    table = Table("GraP / equal weights, ResNet-18", "ratio")
    table.add_row("time of a step", f"{result['time_ratio']:.3f}")
    table.add_row("peak memory", f"{result['memory_ratio']:.3f}")
    console = Console()
    console.print(table)
    console.print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
