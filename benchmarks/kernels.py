"""Three kernels against torch's plain ways: packed GRU, dropout, cross-entropy over many classes.

A step is a forward and a backward pass. Both ways take the same inputs in turns, one thread;
medians over rounds of CPU time, and of the ratio within a round.

GRU: sub-sequences of 10 to 90 % of 16 or 32 sequences, five of each, whose lengths are heavy-tailed
with mean 100; every round draws others. The plain way is `nn.GRU` on rectangles of at most 10 %
padding, longest rows first, or on packed rows where the name says so. Its share says how many
operations a second of a large product of the same width it reaches.

    python benchmarks/kernels.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from grap_seq.files import write_json
from grap_seq.nn.dropout import drawn, dropout
from grap_seq.nn.packed_gru import packed_gru
from grap_seq.objectives.linear_cross_entropy import cross_entropy_sum

RESULTS = Path(__file__).parent / "results" / "kernels.json"
MAX_PADDING = 0.1
Step = Callable[[], object]
Pair = tuple[Step, Step, float]  # plain, ours, floating-point operations


def crop_lengths(sequences: int, generator: np.random.Generator) -> list[int]:
    """Longest first."""
    whole = np.clip(generator.lognormal(np.log(100) - 0.32, 0.8, sequences), 20, 400)
    crops = np.repeat(whole, 5) * generator.uniform(0.1, 0.9, 5 * sequences)
    return sorted(crops.astype(int).tolist(), reverse=True)


def rectangles(lengths: list[int]) -> list[list[int]]:
    """Cut into groups of which none is padded by more than `MAX_PADDING`."""
    groups = [lengths[:1]]
    for length in lengths[1:]:
        whole = [*groups[-1], length]
        if sum(whole) < (1 - MAX_PADDING) * whole[0] * len(whole):
            groups.append([length])
        else:
            groups[-1] = whole
    return groups


def gru(
    hidden: int, width: int, sequences: int, training: bool = True, packed: bool = False
) -> Iterator[Pair]:
    rnn, generator = nn.GRU(width, hidden, batch_first=True), np.random.default_rng(0)
    rnn.requires_grad_(training)
    while True:
        lengths = crop_lengths(sequences, generator)
        sizes = [sum(length > step for length in lengths) for step in range(lengths[0])]
        x = torch.randn(sum(lengths), width, requires_grad=training)
        shapes = [(len(group), group[0], width) for group in rectangles(lengths)]
        if packed:
            shapes = []
        padded = [torch.randn(shape, requires_grad=training) for shape in shapes]
        sequence = nn.utils.rnn.PackedSequence(x, torch.tensor(sizes))

        def finish(states: list[Tensor]) -> None:
            if training:
                torch.autograd.backward(states, [torch.ones_like(state) for state in states])

        operations = (3 if training else 1) * 2 * len(x) * 3 * hidden * (width + hidden)
        # Used before the next ones are drawn.
        yield (
            (lambda: finish([rnn(sequence)[0].data]))  # noqa: B023
            if packed
            else (lambda: finish([rnn(rectangle)[0] for rectangle in padded])),  # noqa: B023
            lambda: finish([packed_gru(x, sizes, rnn)]),  # noqa: B023
            operations,
        )


def drop(elements: int) -> Iterator[Pair]:
    x, gradient = torch.randn(elements, requires_grad=True), torch.randn(elements)

    def plain() -> None:
        torch.autograd.backward(F.dropout(x, 0.1, True), gradient)

    def ours() -> None:
        torch.autograd.backward(dropout(x, 0.1, True), gradient)

    return repeat((plain, ours, 0))


def mask(elements: int) -> Iterator[Pair]:
    x = torch.empty(elements)
    return repeat((lambda: torch.empty_like(x).bernoulli_(0.9), lambda: drawn(x) >= -26214, 0))


def cross_entropy(events: int, classes: int, width: int = 256) -> Iterator[Pair]:
    x, output = torch.randn(events, width, requires_grad=True), nn.Linear(width, classes)
    targets = torch.randint(0, classes, (events,))

    def plain() -> None:
        torch.autograd.backward(F.cross_entropy(output(x), targets, reduction="sum"))

    def ours() -> None:
        torch.autograd.backward(cross_entropy_sum(x, output, targets, -100))

    return repeat((plain, ours, 3 * 2 * events * width * classes))


def seconds(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def large_product(width: int) -> float:
    """Operations a second of (4096, width) times (width, 3 width)."""
    a, b = torch.randn(4096, width), torch.randn(width, 3 * width)
    return 2 * 4096 * 3 * width**2 / min(seconds(lambda: torch.mm(a, b)) for _ in range(5))


def measure(name: str, pairs: Iterator[Pair], rounds: int, width: int | None) -> dict[str, Any]:
    plain, ours, operations = next(pairs)
    plain(), ours()
    taken = []
    for _ in range(rounds):
        plain, ours, operations = next(pairs)
        taken.append((seconds(plain), seconds(ours), operations))
    row: dict[str, Any] = {"kernel": name, "rounds": rounds}
    row["plain_ms"], row["ours_ms"] = (1e3 * median(t[i] for t in taken) for i in (0, 1))
    row["speedup"] = median(a / b for a, b, _ in taken)
    if width:
        speed = large_product(width)
        row["plain_share"] = median(n / a for a, _, n in taken) / speed
        row["share"] = median(n / b for _, b, n in taken) / speed
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    jobs: list[tuple[str, Iterator[Pair], int, int | None]] = [
        ("GRU 128, 80 rows", gru(128, 64, 16), rounds, 128),
        ("GRU 128, 160 rows", gru(128, 64, 32), rounds, 128),
        ("GRU 256, 160 rows", gru(256, 128, 32), rounds, 256),
        ("GRU 1024, 160 rows", gru(1024, 128, 32), -(-rounds // 3), 1024),
        ("GRU 256, forward only", gru(256, 128, 32, training=False), rounds, 256),
        ("GRU 256, nn.GRU packed", gru(256, 128, 32, packed=True), -(-rounds // 3), 256),
        ("dropout mask, 2 M elements", mask(2_000_000), 3 * rounds, None),
        ("dropout, 2 M elements", drop(2_000_000), 3 * rounds, None),
        ("cross-entropy, 385 classes", cross_entropy(8000, 385), rounds, 256),
        ("cross-entropy, 2,000 classes", cross_entropy(8000, 2000), rounds, 256),
        ("cross-entropy, 10,002 classes", cross_entropy(8000, 10_002), -(-rounds // 3), 256),
    ]
    rows = [measure(*job) for job in track(jobs, "kernels")]
    write_json(RESULTS, rows)
    columns = ("kernel", "plain, ms", "ours, ms", "speed-up", "share, plain", "share, ours")
    table = Table(*columns, box=MARKDOWN)
    for row in rows:
        times = f"{row['plain_ms']:.1f}", f"{row['ours_ms']:.1f}", f"{row['speedup']:.2f}"
        shares = (f"{row[key]:.2f}" if key in row else "" for key in ("plain_share", "share"))
        table.add_row(row["kernel"], *times, *shares)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
