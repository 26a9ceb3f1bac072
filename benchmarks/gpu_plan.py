"""Memory and time of training on a GPU, computed.

Memory of a step is that of `grap_seq.training.memory_estimate`. Seconds of an epoch are the
floating-point operations of its matrix products, divided by a share of a card's peak in float32
(TF32 where the card has it), but at least `--floor` seconds a step, in which the host starts its
kernels. The defaults are what steps on an H100 had (docs/gpu.md), for other cards assumptions:
more so the smaller a step is. Operations are three times those of the forward
pass: every event meets every weight of the encoder and of the heads once, and attention. Seconds of
one CPU core are those operations by the rate that `benchmarks/training_step.py` measured.

Sequences and mean lengths of the training splits are those of the paper's datasets; lengths are
drawn from a gamma distribution, crops as training draws them, and settings are `experiment=`'s.

    python benchmarks/gpu_plan.py
    python benchmarks/gpu_plan.py --share 0.2 --floor 0.02
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from grap_seq import config as configs
from grap_seq.layout import Lengths
from grap_seq.schema import Field, Label, Schema
from grap_seq.training.fits import amount
from grap_seq.training.memory_estimate import Sizes
from grap_seq.training.pretrain import build_module, crop_policy

# Peak of dense matrix products in TFLOP/s by the makers' data sheets: float32, TF32 from Ampere on.
PEAKS = {"T4": 8.1, "V100": 15.7, "RTX 4090": 82.6, "A100": 156.0, "H100": 494.7}
MEASURED = Path(__file__).parent / "results" / "training_step.json"
ENCODERS = "gru", "ht_transformer"
BATCHES, HIDDEN, LENGTHS = (32, 128, 512), (256, 1024), (100, 400, 1200)


class Dataset(NamedTuple):
    """Training sequences, their mean length, classes of the categories, numbers."""

    sequences: int
    length: float
    classes: tuple[int, ...]
    numbers: int


DATASETS = {
    "churn": Dataset(9_232, 98.75, (385, 7, 68, 11), 1),
    "agepred": Dataset(44_650, 882.4, (205,), 1),
    "alfabattle": Dataset(
        1_301_643, 302.5, (109, 13, 9, 177, 24, 6, 5, 9, 5, 26, 170, 30, 9, 25, 55), 2
    ),
    "mimic3": Dataset(33_495, 707, (10_002, 5), 0),
    "taobao": Dataset(17_000, 300, (8_612, 5), 0),
    # No mean of the raw data is known: the paper's, behind its loader.
    "mbd_mini": Dataset(75_028, 372, (55, 62, 17, 77, 526, 133, 821, 10_002, 88, 2_495, 88), 1),
}


def schema(name: str) -> Schema:
    """A schema with a dataset's numbers of fields and classes, by their names where widths need."""
    found = DATASETS[name]
    widths = list(configs.compose("pretrain", [f"dataset={name}"]).dataset.table_widths)
    names = [*widths, *(f"c{number}" for number in range(len(found.classes)))]
    pairs = zip(names, found.classes, strict=False)
    fields = [Field(key, "categorical", size) for key, size in pairs]
    fields += [Field(f"x{number}", "numerical") for number in range(found.numbers)]
    return Schema(name, "id", "day", tuple(fields), (Label("label", "auc", ("0", "1")),))


def drawn(config: Any, name: str, count: int) -> Lengths:
    """Lengths of the rows that so many sequences give, as an epoch cuts them."""
    random, policy = np.random.default_rng(0), crop_policy(config)
    lengths = np.maximum(2, random.gamma(4.0, DATASETS[name].length / 4.0, count)).astype(np.int64)
    rows = [
        stop - start
        for row, length in enumerate(lengths.tolist())
        for start, stop in policy.draw(length, 0, 0, row)
    ]
    return np.array(rows, np.int64)


def operations(module: Any, sizes: Sizes, lengths: Lengths) -> float:
    """Floating-point operations of the matrix products for an event, both passes."""
    events = lengths.sum()
    encoder = sum(p.numel() for p in module.model.encoder.parameters() if p.dim() > 1)
    block = sum(p.numel() for p in module.model.embedding.block.parameters() if p.dim() > 1)
    width = module.objective.bank.bias.shape[1]
    outputs = width * sum(count * share for count, share in sizes.classes)
    # Causal: of two products with l keys of width H, half.
    attended = float((lengths**2).sum() / events) * sizes.hidden * sizes.layers
    per_token = (1 + sizes.history) * (encoder + attended)
    return float(6 * (per_token + block + sizes.heads * sizes.hidden + outputs))


def experiment(name: str, encoder: str) -> tuple[Any, Any, Sizes]:
    """Config, module and sizes of published settings."""
    config = configs.compose("pretrain", [f"experiment={name}_{encoder}_grap"])
    module, _ = build_module(config, schema(name))
    sizes = Sizes.of(module, config.max_padding)
    assert sizes is not None
    return config, module, sizes


def core_rate() -> float:
    """Floating-point operations of a CPU core in a second, median of the measured steps."""
    rows = json.loads(MEASURED.read_text("utf-8"))["rows"]
    return 1e9 * float(statistics.median(row["step_gflops"] for row in rows))


def epochs(share: float, floor: float) -> Table:
    """Step memory and seconds of an epoch with the published settings."""
    table = Table(box=MARKDOWN)
    titles = ("dataset", "encoder", "events", "steps", "MFLOP/event", "memory of a step")
    for title in (*titles, "one CPU core", *PEAKS):
        table.add_column(title, justify="right")
    for name, found in DATASETS.items():
        for encoder in ENCODERS:
            config, module, sizes = experiment(name, encoder)
            sample = drawn(config, name, 1000)
            batch = drawn(config, name, config.batch_size)
            each = operations(module, sizes, sample)
            events = sample.sum() / 1000 * found.sequences
            steps = -(-found.sequences // config.batch_size)
            seconds = [
                max(events * each / (share * peak * 1e12), steps * floor) for peak in PEAKS.values()
            ]
            table.add_row(
                *(name, encoder, f"{events / 1e6:,.1f} M", f"{steps:,}", f"{each / 1e6:.1f}"),
                amount(sizes.bytes(batch, "cuda")),
                *map(duration, (events * each / core_rate(), *seconds)),
            )
    return table


def memory() -> Table:
    """Step memory with Churn's fields, whose rows are all of one length."""
    table = Table(box=MARKDOWN)
    for title in ("encoder", "hidden", "length", *(f"batch {size}" for size in BATCHES)):
        table.add_column(title, justify="right")
    for encoder in ENCODERS:
        for hidden in HIDDEN:
            chosen = ["dataset=churn", f"encoder={encoder}", f"encoder.hidden={hidden}"]
            module, _ = build_module(configs.compose("pretrain", chosen), schema("churn"))
            sizes = Sizes.of(module)
            assert sizes is not None
            for length in LENGTHS:
                # Five views of half the window, as in the mean.
                rows = [np.full(5 * size, length // 2) for size in BATCHES]
                cells = (amount(sizes.bytes(lengths, "cuda")) for lengths in rows)
                table.add_row(encoder, f"{hidden:,}", f"{length:,}", *cells)
    return table


def duration(seconds: float) -> str:
    """As text with one unit."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.06, help="of a card's peak")
    parser.add_argument("--floor", type=float, default=0.05, help="seconds of a step at least")
    options = parser.parse_args()
    console = Console(width=200)
    console.print(memory(), epochs(options.share, options.floor))


if __name__ == "__main__":
    main()
