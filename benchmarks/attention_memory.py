"""Memory of a training step of the Transformers against the length of the sequences.

Forward and backward pass of 4 rows of equal length through 4 layers of width 128, on this
machine's processor, each in a process of its own: its largest memory above what it held before.
With history tokens in every batch, plain, and with dropout of attention weights.

    python benchmarks/attention_memory.py
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import torch
from ptls.data_load.padded_batch import PaddedBatch
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.memory import resident
from grap_seq.files import write_json
from grap_seq.nn.ht_transformer import HTTransformerEncoder

RESULTS = Path(__file__).parent / "results" / "attention_memory.json"
LENGTHS = (256, 512, 1024, 2048, 4096)
ROWS = 4
KINDS: dict[str, dict[str, Any]] = {
    "causal": {"apply_probability": 0.0},
    "history tokens": {"apply_probability": 1.0},
    "causal, attention_dropout": {"apply_probability": 0.0, "attention_dropout": 0.1},
    "history tokens, attention_dropout": {"apply_probability": 1.0, "attention_dropout": 0.1},
}


def peak(kind: str, length: int) -> int:
    """Bytes that a step takes at most."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    encoder = HTTransformerEncoder(128, 128, layers=4, heads=4, feedforward=512, **KINDS[kind])
    times = torch.arange(length, dtype=torch.float64).expand(ROWS, -1)

    def step(size: int) -> None:
        vectors = torch.randn(ROWS, size, 128, requires_grad=True)
        batch = PaddedBatch(vectors, torch.full((ROWS,), size))
        encoder(batch, times[:, :size]).payload.square().mean().backward()

    step(8)  # libraries and gradients
    before = resident("VmRSS")
    step(length)
    return resident("VmHWM") - before


def main() -> None:
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        cases = [(kind, length) for kind in KINDS for length in LENGTHS]
        for kind, length in track(cases, "steps"):
            found = pool.apply(peak, (kind, length))
            rows.append({"kind": kind, "length": length, "bytes": found})
    table = Table(box=MARKDOWN)
    table.add_column("KB an event")
    for length in LENGTHS:
        table.add_column(f"L = {length}", justify="right")
    for kind in KINDS:
        cells = [row["bytes"] / ROWS / row["length"] for row in rows if row["kind"] == kind]
        table.add_row(kind, *(f"{size / 1e3:.1f}" for size in cells))
    Console(width=120).print(table)
    write_json(RESULTS, {"rows_of_a_batch": ROWS, "rows": rows})


if __name__ == "__main__":
    main()
