"""Training steps for `gpu.py`: of whole modules on small data, and of encoders of any size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step_worker import uncounted
from grap_seq import config as configs
from grap_seq.batch import Batch
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.layout import Layout
from grap_seq.nn.encoder import Encoder
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.ht_transformer import HTTransformerEncoder
from grap_seq.nn.transformer import TransformerEncoder
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module, crop_policy, numbers_of
from grap_seq.training.recorder import Recorder
from grap_seq.training.refusal import Nonfinite
from grap_seq.weighting import MGDA, Equal, GraP, HeadBank, Weighting

ENCODERS = ("gru", "transformer", "ht_transformer")
WEIGHTINGS = {"equal": Equal, "grap": GraP, "mgda": MGDA}
# Nothing that is drawn on the device, whose random numbers are others than a CPU's.
CERTAIN = ["dataset.time_jitter=0", "objective.targets=[next]"]
INPUT, WIDTH, CLASSES = 128, 128, 8


class Precision(NamedTuple):
    """How products are rounded; `error` is what gradients may be off, relative to their norm."""

    autocast: bool
    products: str
    error: float


PRECISIONS = {
    "float32": Precision(False, "highest", 1e-4),
    "tf32": Precision(False, "high", 2e-2),
    "bf16": Precision(True, "high", 1e-1),
}


@contextmanager
def rounded(name: str, device: torch.device) -> Iterator[None]:
    """Products of a precision."""
    chosen = PRECISIONS[name]
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(chosen.products)
    torch.backends.cudnn.allow_tf32 = chosen.products != "highest"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=chosen.autocast):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def overrides(encoder: str, weighting: str, hidden: int, *more: str) -> list[str]:
    """Settings of `pretrain` for the small data."""
    sizes = [f"dataset.hidden={hidden}"]
    if encoder != "gru":
        sizes = [f"encoder.hidden={hidden}", "encoder.layers=2", "encoder.heads=2"]
        sizes += [f"encoder.feedforward={2 * hidden}", "encoder.dropout=0"]
    if encoder == "ht_transformer":
        sizes.append("encoder.apply_probability=1")
    times = ["dataset.max_time_gap=20", "dataset.time_scale=3"]
    chosen = [f"encoder={encoder}", f"weighting={weighting}"]
    return ["dataset=table", *chosen, *times, *sizes, *CERTAIN, *more]


def settings_of(prepared: Path, *chosen: str) -> Any:
    """The config of a run on a prepared folder."""
    return configs.compose("pretrain", [*chosen, f"prepared={prepared}"])


def module_of(prepared: Path, config: Any) -> PretrainModule:
    """The module of a config, without a run folder for refused batches."""
    module = build_module(config, Schema.load(prepared), numbers_of(prepared))[0]
    module.nonfinite = Nonfinite()
    return module


def batch_of(prepared: Path, config: Any, sequences: int) -> Batch:
    """The first batch of a run."""
    train = Sequences(prepared, "train")
    return EpochBatches(train, crop_policy(config), sequences, seed=0, epoch=0)[0]


class Result(NamedTuple):
    """What a step leaves: losses by name, and the gradient of all parameters as one vector."""

    losses: dict[str, float]
    gradient: Tensor


def step_of(module: PretrainModule, batch: Batch, precision: str | None = None) -> Result:
    """A forward and a backward pass, on the module's device; None: in its own dtype."""
    device = module.device
    torch.manual_seed(0)
    module.zero_grad()
    with rounded(precision or "float32", device):
        losses = module.objective(batch, module.model(batch))
        total = module.objective.weighting.total(losses)
    total.backward()  # type: ignore[no-untyped-call]
    parameters = dict(module.named_parameters()) | {"w": module.objective.weighting.weights}
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    vector = torch.cat([gradient.detach().double().flatten().cpu() for gradient in gradients])
    return Result({name: float(loss.detach()) for name, loss in losses.items()}, vector)


def in_double(batch: Batch) -> Batch:
    """Its float32 numbers as float64."""
    return batch.mapped(lambda t: t.double() if t.dtype == torch.float32 else t)


def fit(
    module: PretrainModule, prepared: Path, run: Path, config: Any, batches: int, **options: Any
) -> None:
    """Train for some batches as `pretrain` does; `options` are Lightning's."""
    callbacks = [Recorder(run, config.log_every), *options.pop("callbacks", [])]
    data = PretrainData(prepared, crop_policy(config), config.batch_size, seed=0)
    trainer = lightning.Trainer(
        callbacks=callbacks,
        limit_train_batches=batches,
        limit_val_batches=0,
        max_epochs=1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, datamodule=data)


@dataclass(frozen=True)
class Cell:
    """An encoder with K losses on rows of one length.

    Attributes:
        encoder: gru, transformer or ht_transformer; Transformers have four layers.
        hidden: H.
        losses: K.
        rows: sequences in a batch.
        length: events in a sequence.
    """

    encoder: str
    hidden: int
    losses: int
    rows: int
    length: int

    def make(self) -> Encoder:
        """The encoder; with history tokens in every batch."""
        if self.encoder == "gru":
            return GRUEncoder(INPUT, self.hidden)
        options: dict[str, Any] = {
            "layers": 4,
            "heads": 4,
            "feedforward": 2 * self.hidden,
            "dropout": 0.0,
        }
        if self.encoder == "transformer":
            return TransformerEncoder(INPUT, self.hidden, **options)
        return HTTransformerEncoder(INPUT, self.hidden, apply_probability=1.0, **options)


class Steps:
    """Optimiser steps of a cell under a weighting: encoder, bank and second layers.

    Args:
        cell: what is trained.
        weighting: equal, grap or mgda.
        device: where.
        precision: how products are rounded.
    """

    def __init__(self, cell: Cell, weighting: str, device: torch.device, precision: str) -> None:
        torch.manual_seed(0)
        self.device, self.precision, self.cell = device, precision, cell
        names = [f"loss{index}" for index in range(cell.losses)]
        self.weighting: Weighting = WEIGHTINGS[weighting](names)
        self.encoder, views = cell.make(), self.weighting.views
        self.bank = HeadBank(self.weighting, cell.hidden, WIDTH)
        self.seconds = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in views)
        model = nn.ModuleList([self.encoder, self.bank, self.seconds]).to(device)
        self.model = list(model.parameters())
        groups: list[dict[str, Any]] = [{"params": self.model}]
        if self.weighting.learned:
            groups.append(self.weighting.parameter_group())
        self.optimizer = torch.optim.Adam(groups)
        events = cell.rows * cell.length
        self.layout = Layout([cell.length] * cell.rows).prepare().sent(device)
        self.vectors = torch.randn(events, INPUT, device=device)
        self.times = torch.arange(events, dtype=torch.float64, device=device) % cell.length
        self.targets = torch.randint(CLASSES, (len(views), 2 * events + cell.rows), device=device)

    def step(self) -> None:
        """One optimiser step, clipping included."""
        self.optimizer.zero_grad()
        with rounded(self.precision, self.device):
            z = self.encoder.encode(self.vectors, self.layout, self.times).all
            hidden = self.bank(z)
            losses = {
                name: nn.functional.cross_entropy(second(torch.relu(pre)), target[: len(pre)])
                for (name, pre), second, target in zip(
                    hidden.items(), self.seconds, self.targets, strict=True
                )
            }
            total = self.weighting.total(losses)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model, 1.0)
        self.optimizer.step()

    def operations(self) -> float:
        """Floating-point operations of a step's products; without FlexAttention's."""
        with FlopCounterMode(display=False, custom_mapping=uncounted()) as counter:
            self.step()
        found = float(counter.get_total_flops())
        cell = self.cell
        if cell.encoder == "gru" and self.device.type != "cpu":
            # cuDNN's are not seen: forward pass, and twice as many backwards.
            found += 3 * 2 * cell.rows * cell.length * 3 * cell.hidden * (INPUT + cell.hidden)
        return found


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of a call: by events on a GPU, of the process elsewhere."""
    if device.type != "cuda":
        start = time.process_time()
        call()
        return 1e3 * (time.process_time() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in "12")  # type: ignore[no-untyped-call]
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def peak(call: Callable[[], object], device: torch.device) -> float | None:
    """Megabytes of the device's memory at most, all that is held included; None on a CPU."""
    if device.type != "cuda":
        call()
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 1e6


def in_turns(runs: list[Steps], steps: int) -> list[list[float]]:
    """Milliseconds of each one's steps; the order turns around."""
    taken: list[list[float]] = [[] for _ in runs]
    order = list(range(len(runs)))
    for _ in range(steps):
        for index in order:
            taken[index].append(timed(runs[index].step, runs[index].device))
        order.reverse()
    return taken


def ratio(mine: list[float], other: list[float]) -> float:
    """Median over steps next to each other."""
    return statistics.median(a / b for a, b in zip(mine, other, strict=True))


def product_speed(device: torch.device, precision: str, size: int) -> float:
    """Floating-point operations a second of a large product; the best of some."""
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    if PRECISIONS[precision].autocast:
        a, b = a.bfloat16(), b.bfloat16()
    with rounded(precision, device):
        best = min(timed(lambda: torch.mm(a, b), device) for _ in range(8))
    return 2 * size**3 / (best / 1e3)


def relative(found: Tensor, wanted: Tensor) -> float:
    """Distance of two vectors divided by the second one's norm."""
    return float((found - wanted).norm() / wanted.norm())
