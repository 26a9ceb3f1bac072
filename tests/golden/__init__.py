"""Golden runs: fifty steps of every encoder with every weighting, number by number.

A test of the mathematics of training as a whole. A change that should not alter it keeps every bit
of `runs.npz`; one that alters it has to say why: `python -m tests.golden "the reason"` writes the
runs again, with the reason and the versions that they were made with (`about.json`).

Other versions or processors add in another order. The first steps then agree to 1e-4; later ones
may not: CoLES chooses the hardest negatives and GradNorm goes by signs, which jump. (With
ATEN_CPU_CAPABILITY=default: 4e-5 in ten steps, 2e-2 in fifty.)
"""

from __future__ import annotations

import json
import platform
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from grap_seq import config as configs
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.module import PretrainModule
from grap_seq.training.pretrain import build_module, crop_policy
from tests.data.toy import random_rows, write_prepared

STEPS = 50
# How many of them agree elsewhere, and how well.
STEPS_ELSEWHERE, TOLERANCE = 10, 1e-4
ENCODERS = ("gru", "transformer", "ht_transformer")
WEIGHTINGS = {
    **{
        name: []
        for name in ("grap", "grap_published", "equal", "gradnorm", "dwa", "mgda", "pcgrad")
    },
    "fixed": ["weighting.weights={coles: 1, time: 0.5, type: 2, owner: 0, a.b: 1, score: 0.1}"],
}
PAIRS = tuple(product(ENCODERS, WEIGHTINGS))
RUNS, ABOUT = (Path(__file__).with_name(name) for name in ("runs.npz", "about.json"))
SMALL = [
    *(
        "dataset=table",
        "dataset.hidden=16",
        "event_width=8",
        "epochs=5",
        "batch_size=4",
        "lr=0.003",
    ),
    *("dataset.max_time_gap=20", "dataset.time_scale=3", "dataset.time_jitter=0.1"),
    *("objective.targets=[next]", "objective.head_width=16", "accumulate=1"),
]
LAYERS = ["encoder.hidden=16", "encoder.layers=1", "encoder.heads=2", "encoder.feedforward=16"]


class Trace(lightning.Callback):
    """What is kept of every step: losses, loss weights, norm of the gradient."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        row = {f"loss/{name}": float(loss) for name, loss in pl_module.losses.items()}
        weights = pl_module.objective.weighting.named_weights()
        row |= {f"weight/{name}": value for name, value in weights.items()}
        self.rows.append(row | {"gradient_norm": float(pl_module.gradient_norm)})


def prepare(folder: Path) -> Path:
    """The data: forty sequences of 4 to 23 events, from a seed."""
    lengths = np.random.default_rng(0).integers(4, 24, 44).tolist()
    rows = random_rows(lengths)
    return write_prepared(folder, {"train": rows[:40], "val": rows[40:42], "test": rows[42:]})


def run(prepared: Path, encoder: str, weighting: str) -> tuple[list[str], NDArray[np.float32]]:
    """Train; returns the columns' names and their values, shape (STEPS, columns)."""
    layers = [] if encoder == "gru" else LAYERS
    chosen = [f"encoder={encoder}", f"weighting={weighting}", *WEIGHTINGS[weighting]]
    config = configs.compose("pretrain", [*SMALL, *chosen, *layers, f"prepared={prepared}"])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module, _ = build_module(config, Schema.load(prepared))
    data = PretrainData(prepared, crop_policy(config), config.batch_size, seed=config.seed)
    trace = Trace()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=config.epochs,
        gradient_clip_val=config.clip,
        callbacks=[trace],
        limit_val_batches=0,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    values = np.array([list(row.values()) for row in trace.rows], np.float32)
    return list(trace.rows[0]), values


def versions() -> dict[str, str]:
    """What the bits depend on, besides the code: sums are ordered by library and processor."""
    found = {name: metadata.version(name) for name in ("torch", "lightning", "numpy")}
    processor = Path("/proc/cpuinfo")
    lines = processor.read_text("utf-8").splitlines() if processor.is_file() else []
    makers = [line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")]
    found["processor"] = " ".join([platform.machine(), *makers[:1]])
    return found | {"instructions": torch.backends.cpu.get_cpu_capability()}


def about() -> dict[str, Any]:
    """Versions and columns of the golden runs, and the reason for their last change."""
    content: dict[str, Any] = json.loads(ABOUT.read_text("utf-8"))
    return content
