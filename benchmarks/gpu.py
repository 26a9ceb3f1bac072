"""What only a GPU can tell: seven parts, at most six minutes, one table and one JSON.

a  losses and gradients of every encoder under equal, grap and mgda against the CPU's float64
b  step time (by events) and peak memory, GraP divided by equal weights
c  floating-point operations a second of a step, beside those of one large product
d  kernels of a step (by the profiler), and how often the host waits for the device
e  embedding: events a second
f  a deterministic run, killed and resumed, beside one that was left alone: equal bits
g  attention of rows whose lengths change from batch to batch, with PyTorch's choice of kernel too

A part that fails leaves its error in the JSON and the others go on; what does not fit into the time
is skipped and named. The JSON is written after every row. On a CPU the same runs with small sizes:
the host's waits are then those of `benchmarks/pretended.py`, and operations stand for kernels.

    python benchmarks/gpu.py                            # on a GPU
    python benchmarks/gpu.py --parts a d --minutes 2
    python benchmarks/gpu.py --device cpu --quick       # results/gpu_cpu_quick.json

Needs torch with CUDA, numpy, pyarrow, hydra-core, lightning, pytorch-lifestream (with its pandas
and scikit-learn), safetensors and rich; of this package and of DuckDB, Ibis, LightGBM and torchjd,
which a run folder records, the versions. To a machine without a network bring, from one of the
same Python version and architecture, what `pip list` lacks there:

    pip wheel --no-deps --wheel-dir wheels . hydra-core omegaconf antlr4-python3-runtime==4.9.3 \\
        lightning pytorch-lightning lightning-utilities torchmetrics pytorch-lifestream pyarrow \\
        safetensors ibis-framework duckdb lightgbm torchjd
    pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=.:site python benchmarks/gpu.py
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lightning
import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.gpu_bench import Bench, Row
from benchmarks.gpu_parts import PARTS
from grap_seq.device import device_of
from grap_seq.files import write_json
from tests.data.toy import random_rows, write_prepared

RESULTS = Path(__file__).parent / "results"
ERROR_CHARACTERS = 2000


def small_data(folder: Path, quick: bool) -> Path:
    """A prepared folder with artificial sequences that are labelled by whether they leave."""
    count, mean = (40, 12) if quick else (600, 100)
    lengths = np.random.default_rng(0).integers(4, 2 * mean, count + 40).tolist()
    rows = random_rows(lengths)
    splits = {"train": rows[:count], "val": rows[count : count + 20], "test": rows[count + 20 :]}
    return write_prepared(folder, splits)


def measure(
    bench: Bench, parts: list[str], seconds: float, target: Path, found: dict[str, Any]
) -> dict[str, Any]:
    """Run the parts and write `found` after every row."""
    end = time.monotonic() + seconds
    for letter in parts:
        title, function = PARTS[letter]
        rows: list[Row] = []
        part: dict[str, Any] = {"title": title, "rows": rows}
        found["parts"][letter] = part
        start, source = time.monotonic(), function(bench)
        # The others have their turn however long this one would take.
        waiting = len(parts) - parts.index(letter)
        until = start + 2 * (end - start) / (waiting + 1)
        try:
            while True:
                if time.monotonic() > until:
                    part["skipped"] = f"the rest, behind {len(rows)} rows: out of time"
                    break
                row = next(source, None)
                if row is None:
                    break
                rows.append(row)
                keep(found, letter, target)
        except Exception as error:  # On the day there is no second try.
            said = "".join(traceback.format_exception(error))
            part["error"] = f"{type(error).__name__}: {error}"
            part["traceback"] = said[-ERROR_CHARACTERS:]
        part["seconds"] = time.monotonic() - start
        keep(found, letter, target)
        show(letter, part)
        if bench.device.type == "cuda" and "CUDA error" not in part.get("error", ""):
            torch.cuda.empty_cache()
    return found


def keep(found: dict[str, Any], letter: str, target: Path) -> None:
    """Write the JSON, with the waits of part d by encoder and weighting."""
    if letter == "d":
        waits: dict[str, dict[str, int]] = {}
        for row in found["parts"]["d"]["rows"]:
            if "synchronisations" in row:
                waits.setdefault(row["encoder"], {})[row["weighting"]] = row["synchronisations"]
        found["synchronisations_per_step"] = waits
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, found)


def show(letter: str, part: dict[str, Any]) -> None:
    """A part's rows, one table for those of the same columns."""
    console = Console(width=160, markup=False)
    console.print(f"({letter}) {part['title']}, {part['seconds']:.0f} s")
    for columns in dict.fromkeys(tuple(row) for row in part["rows"]):
        table = Table(*columns, box=MARKDOWN)
        for row in part["rows"]:
            if tuple(row) == columns:
                table.add_row(*(_text(value) for value in row.values()))
        console.print(table)
    for key in ("skipped", "error"):
        if key in part:
            console.print(f"{key}: {part[key]}")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def about(device: torch.device) -> dict[str, Any]:
    """The machine."""
    found: dict[str, Any] = {"device": str(device), "python": platform.python_version()}
    found |= {"torch": torch.__version__, "lightning": lightning.__version__}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"card": properties.name, "memory_gb": properties.total_memory / 1e9}
        cudnn: Any = torch.backends.cudnn
        found |= {"cuda": torch.version.cuda, "cudnn": cudnn.version()}
    return found


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a part had an error or a wrong result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--losses", nargs="+", type=int, default=[], help="of part b; default: all")
    parser.add_argument("--minutes", type=float, default=5.5, help="what has not begun is skipped")
    parser.add_argument("--output", type=Path, help="the JSON; default: in benchmarks/results")
    options = parser.parse_args(arguments)
    device = device_of(options.device)
    name = f"gpu_{device.type}{'_quick' if options.quick else ''}.json"
    target = options.output or RESULTS / name
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    found: dict[str, Any] = {**about(device), "parts": {}, "synchronisations_per_step": {}}
    with tempfile.TemporaryDirectory() as root:
        prepared = small_data(Path(root) / "prepared", options.quick)
        bench = Bench(device, options.quick, prepared, Path(root), tuple(options.losses))
        measure(bench, options.parts, 60 * options.minutes, target, found)
    Console(width=160, markup=False).print(f"wrote {target}")
    rows = [row for part in found["parts"].values() for row in part["rows"]]
    wrong = any(not row.get("ok", True) or not row.get("equal", True) for row in rows)
    return int(wrong or any("error" in part for part in found["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
