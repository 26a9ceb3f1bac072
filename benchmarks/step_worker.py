"""A process that fetches batches and trains on request, with the `grap_seq` on its PYTHONPATH.

`benchmarks.in_turn.Worker` starts it, writes a line of JSON for each request and reads one for each
answer. It imports nothing else from here, so that it runs in the checkout of another commit too:
what differs between commits is at the top.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import flop_counter

import grap_seq
from grap_seq import config as configs
from grap_seq.data.loader import EpochBatches
from grap_seq.data.sequences import Sequences
from grap_seq.training import pretrain


def events(batch: Any) -> int:
    """Real events of a batch."""
    if isinstance(batch, list):  # of PaddedBatch, until commit 3f8384e
        return sum(int(group.seq_lens.sum()) for group in batch)
    return int(batch.events)


def padding(batch: Any) -> float:
    """Share of padded cells in the batch's rectangles."""
    if isinstance(batch, list):
        cells = sum(len(group.seq_lens) * int(group.seq_lens.max()) for group in batch)
        return 1 - events(batch) / cells
    return float(batch.layout.padding)


def build_module(config: Any, folder: Path, sequences: Sequences) -> Any:
    """The Lightning module of a config."""
    numbers_of = getattr(pretrain, "numbers_of", None)
    known = [] if numbers_of is None else [numbers_of(folder)]
    return pretrain.build_module(config, sequences.schema, *known)[0]


class SameBatches:
    """Random batches that do not depend on the commit: sequences and sub-sequences are drawn here.

    Args:
        sequences: a split.
        policy: bounds of the lengths; shares of a sequence or numbers of events.
        batch_size: sequences in a batch.
    """

    def __init__(self, sequences: Sequences, policy: Any, batch_size: int) -> None:
        try:
            self.collate = importlib.import_module("grap_seq.data.collate")
        except ModuleNotFoundError:  # until commit 3f8384e
            self.collate = importlib.import_module("grap_seq.data.batch")
        self.sequences, self.policy, self.batch_size = sequences, policy, batch_size
        self.usable = np.flatnonzero(sequences.lengths >= 2)

    def __getitem__(self, number: int) -> Any:
        rng = np.random.default_rng(number)
        crops = []
        for owner, row in enumerate(rng.choice(self.usable, self.batch_size, replace=False)):
            whole = min(int(self.sequences.lengths[row]), self.policy.max_length)
            unit = whole if self.policy.view_max <= 1 else 1
            least, most = (
                min(whole, max(2, round(bound * unit)))
                for bound in (self.policy.view_min, self.policy.view_max)
            )
            for length in rng.integers(least, most + 1, self.policy.views).tolist():
                start = int(rng.integers(0, whole - length + 1))
                crops.append(self.collate.Crop(int(row), start, start + length, owner))
        return self.collate.collate(self.sequences, crops)


class Training:
    """A module, its optimiser and the training batches of epochs.

    Args:
        settings: "folder" of prepared data; "overrides" of the config; "batch_size" in sequences;
            "same" for batches that do not depend on the commit;
            "precision" as Lightning's; "matmul_precision" as torch's.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        folder = Path(settings["folder"])
        config = configs.compose("pretrain", settings["overrides"])
        self.lowered = settings["precision"] == "bf16-mixed"
        torch.set_float32_matmul_precision(settings["matmul_precision"])
        try:
            sequences = Sequences(folder, "train")
        except KeyError:  # until schemas had several labels
            folder = folder.parent / "older"
            sequences = Sequences(folder, "train")
        policy = pretrain.crop_policy(config)
        known = sequences, policy, settings["batch_size"]
        self.epoch = partial(EpochBatches, *known, seed=0)
        self.data = self.epoch(epoch=0)
        self.same = SameBatches(*known) if settings["same"] else None
        self.module = build_module(config, folder, sequences)
        optimizers, _ = self.module.configure_optimizers()
        self.optimizer = optimizers[0]

    def batch(self, number: int) -> Any:
        """The batch of a run's step; every epoch has others."""
        if self.same is not None:
            return self.same[number]
        epoch, index = divmod(number, len(self.data))
        if epoch != self.data.epoch:
            self.data = self.epoch(epoch=epoch)
        return self.data[index]

    def fetch(self, number: int) -> dict[str, float]:
        """CPU seconds of making a batch, its events and padding."""
        seconds: dict[str, float] = {}
        with measured(seconds, "data"):
            batch = self.batch(number)
        return seconds | {"events": events(batch), "padding": padding(batch)}

    def step(self, number: int) -> dict[str, float]:
        """CPU seconds of an optimiser step, of its parts and of making its batch; its events."""
        seconds: dict[str, float] = {}
        with measured(seconds, "data"):
            batch = self.batch(number)
        with measured(seconds, "step"):
            self.train(batch, number, seconds)
        return seconds | {"events": events(batch)}

    def train(self, batch: Any, number: int, seconds: dict[str, float]) -> None:
        """What Lightning does for a batch; autocast is its own too."""
        model, objective = self.module.model, self.module.objective
        torch.manual_seed(number)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.lowered):
            with measured(seconds, "encoder"):
                states = model(batch)
            with measured(seconds, "heads"):
                losses = objective(batch, states)
        with measured(seconds, "backward"):
            objective.weighting.total(losses).backward()
        with measured(seconds, "optimiser"):
            self.module.configure_gradient_clipping(self.optimizer, 1.0)
            self.optimizer.step()

    def operations(self, number: int) -> float:
        """Floating-point operations of the matrix products in a step."""
        batch = self.batch(number)
        with flop_counter.FlopCounterMode(display=False, custom_mapping=uncounted()) as counter:
            self.train(batch, number, {})
        return float(counter.get_total_flops())

    def product(self, times: int) -> float:
        """Floating-point operations per CPU second of a 1024^3 product; the best of some."""
        left, right, taken = torch.randn(1024, 1024), torch.randn(1024, 1024), []
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        for _ in range(times):
            start = time.process_time()
            torch.mm(left, right)
            taken.append(time.process_time() - start)
        torch.set_float32_matmul_precision(precision)
        return 2 * 1024**3 / min(taken)

    def memory(self, steps: int) -> dict[str, float]:
        """Peak of the process in some steps, and how far it is above the level before them."""
        Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak starts again
        before = resident("VmRSS")
        for number in range(steps):
            self.step(number)
        return {"peak": resident("VmHWM"), "step": resident("VmHWM") - before}


@contextlib.contextmanager
def measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    seconds[name] = time.process_time() - start


def uncounted() -> dict[Any, Callable[..., int]]:
    """Products that torch's counter does not know: their operations from their arguments' shapes.

    It knows `addmm`, but not the same in place, and attention on a GPU, but not on a CPU. As there,
    causal attention counts as a whole.
    """
    aten = torch.ops.aten
    # Declared without types.
    forward: Callable[..., int] = flop_counter.sdpa_flop_count
    backward: Callable[..., int] = flop_counter.sdpa_backward_flop_count
    return {
        aten.addmm_: lambda out, *pair, **_: flop_counter.mm_flop(*pair[:2]),
        aten._scaled_dot_product_flash_attention_for_cpu: (
            lambda *tensors, **_: forward(*tensors[:3])
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda *tensors, **_: backward(*tensors[:4])
        ),
    }


def resident(key: str) -> int:
    """Bytes of a line of /proc/self/status; see `benchmarks.memory`."""
    match = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert match is not None
    return 1024 * int(match[1])


def main() -> None:
    # Nothing but answers may go to the pipe.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)
    training = Training(json.loads(sys.stdin.readline()))
    print(json.dumps(str(Path(grap_seq.__file__).parent.parent)), file=answers, flush=True)
    for line in sys.stdin:
        request, number = json.loads(line)
        print(json.dumps(getattr(training, request)(number)), file=answers, flush=True)


if __name__ == "__main__":
    main()
