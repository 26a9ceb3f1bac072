"""Memory of a training step: bytes of all its tensors at once, and the formula fitted to them.

Steps are real ones (forward pass, weighting, backward pass, clipping, Adam) on artificial data of
the paper's datasets, on a CPU in float32; every operation's storages are counted (`live_bytes`), so
figures do not depend on an allocator. What one number of each kind costs is fitted by non-negative
least squares on relative errors, see `grap_seq.training.memory_estimate.Sizes.terms`. A third of
the steps is not fitted: other hidden widths, another dataset, and one of many events. Their errors
are what is to be expected. Churn's published sizes are measured in bfloat16 too.

    python benchmarks/step_memory.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks.live_bytes import LiveBytes
from benchmarks.step_worker import Training
from grap_seq.batch import Batch
from grap_seq.files import write_json
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare
from grap_seq.training.memory_estimate import Sizes

RESULTS = Path(__file__).parent / "results" / "step_memory.json"
ENCODERS = "gru", "transformer", "ht_transformer"
# Events of artificial data; AgePred's sequences keep their length of nearly a thousand.
DATA = {
    **{"churn": 40_000, "alfabattle": 60_000, "mimic3": 60_000},
    **{"agepred": 360_000, "taobao": 60_000},
}
FITTED: dict[str, tuple[Any, ...]] = {
    "data": ("churn", "alfabattle", "mimic3", "agepred"),
    "hidden": (64, 256, 1024),
}
OTHERS: dict[str, tuple[Any, ...]] = {"data": ("churn", "taobao"), "hidden": (128, 512)}
# A step's events times the parameters that they meet: seconds on a CPU.
LARGEST_STEP = 2.5e10
Rows = list[dict[str, Any]]
# The published sizes of Churn, at a quarter of its batch.
REAL: dict[str, Any] = {"data": "churn", "hidden": 256, "batch": 32, "length": 400}


def cases(count: int, choices: dict[str, tuple[Any, ...]], seed: int) -> Iterator[dict[str, Any]]:
    """Settings at random."""
    choices = choices | {
        "batch": (8, 24, 64),
        "length": (50, 200, 1000),
        "targets": ("[next]", "[next,past,future]"),
        "next_event_on": ("views", "window"),
        "weighting": ("equal", "grap"),
        "event_width": (32, 128),
        "layers": (1, 2, 4),
        "feedforward": (128, 512, 1024),
    }
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: values[random.integers(len(values))] for name, values in choices.items()}


def overrides(encoder: str, case: dict[str, Any]) -> list[str]:
    """Of the pretraining config."""
    chosen = {"dataset": case["data"], "encoder": encoder, "encoder.hidden": case["hidden"]}
    chosen["dataset.crops.max_length"] = case["length"]
    for name in ("targets", "next_event_on"):
        if name in case:
            chosen[f"objective.{name}"] = case[name]
    if "weighting" in case:
        chosen["weighting"] = case["weighting"]
    if encoder == "gru" and "event_width" in case:
        chosen["event_width"] = case["event_width"]
    elif encoder != "gru" and "layers" in case:
        chosen |= {f"encoder.{name}": case[name] for name in ("layers", "feedforward")}
    return [*(f"{name}={value}" for name, value in chosen.items()), *case.get("more", ())]


def training(folder: Path, encoder: str, case: dict[str, Any], precision: str) -> Training:
    """The module of a case, its optimiser and its batches."""
    settings = {
        "folder": str(folder),
        "overrides": overrides(encoder, case),
        "batch_size": case["batch"],
        "same": False,
        "precision": precision,
        "matmul_precision": "highest",
    }
    return Training(settings)


def step_bytes(step: Training, batch: Batch) -> int:
    """The most bytes of tensors that a step holds at once, the optimiser's among them."""
    step.train(batch, 0, {})  # Adam has its moments now.
    step.optimizer.zero_grad()
    moments = (value for state in step.optimizer.state.values() for value in state.values())
    before = [*step.module.parameters(), *step.module.buffers(), *moments, *batch.tensors()]
    with LiveBytes(before) as live:
        step.train(batch, 0, {})
    return int(live.peak)


def measured(
    folder: Path, encoder: str, case: dict[str, Any], precision: str = "32-true"
) -> dict[str, Any] | None:
    """Bytes of a step and the terms of the formula; None: it would take too long."""
    step = training(folder, encoder, case, precision)
    sizes = Sizes.of(step.module)
    assert sizes is not None
    batch = step.batch(0)
    if batch.events * sizes.by_hidden > LARGEST_STEP:
        return None
    terms = sizes.terms(batch.layout.sizes, "cpu")
    return {**case, "events": batch.events, "terms": terms, "bytes": step_bytes(step, batch)}


def fit(rows: Rows) -> dict[str, float]:
    """Bytes of a number of each term."""
    names = list(rows[0]["terms"])
    table = np.array([[row["terms"][name] / row["bytes"] for name in names] for row in rows])
    # Columns of one size, which the solver needs and the result does not depend on.
    scale = table.max(0)
    found, _ = nnls(table / scale, np.ones(len(rows)))
    rounded = [float(f"{value:.4g}") for value in found / scale]
    return dict(zip(names, rounded, strict=True))


def errors(rows: Rows, known: dict[str, float]) -> list[float]:
    """Estimate by measurement."""
    return [
        sum(known[name] * number for name, number in row["terms"].items()) / row["bytes"]
        for row in rows
    ]


def measured_all(folders: dict[str, Path], cases: Iterable[tuple[str, dict[str, Any]]]) -> Rows:
    """Those of the cases that do not take too long."""
    each = (measured(folders[case["data"]], encoder, case) for encoder, case in cases)
    return [row for row in each if row is not None]


def results(folders: dict[str, Path], count: int) -> dict[str, Any]:
    """Coefficients and errors."""
    fitted = [(encoder, case) for encoder in ENCODERS for case in cases(2 * count, FITTED, 0)]
    known = fit(rows := measured_all(folders, fitted))
    found: dict[str, Any] = {
        "coefficients": known,
        "fitted": {"steps": len(rows), "estimate_over_measured": spread(errors(rows, known))},
        "others": {},
    }
    for encoder in ENCODERS:
        rows = measured_all(folders, [(encoder, case) for case in (*cases(count, OTHERS, 1), REAL)])
        lowered = measured(folders[REAL["data"]], encoder, REAL, "bf16-mixed")
        assert lowered is not None
        last = rows[-1]
        found["others"][encoder] = {
            "steps": len(rows),
            "estimate_over_measured": spread(errors(rows, known)),
            "events": [min(row["events"] for row in rows), max(row["events"] for row in rows)],
            "churn": {"events": last["events"], "bytes": last["bytes"]},
            "bf16_over_float32": lowered["bytes"] / last["bytes"],
        }
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Least, median and most."""
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def prepared(root: Path) -> dict[str, Path]:
    """Artificial data of every dataset."""
    folders = {}
    for data, events in DATA.items():
        source = synth(data, root / data / "raw", events, 0)
        folders[data] = root / data / "prepared"
        with contextlib.redirect_stdout(io.StringIO()):
            prepare(data, folders[data], source=source)
    return folders


def show(found: dict[str, Any]) -> None:
    table = Table(box=MARKDOWN)
    for title in ("not fitted", "steps", "estimate ÷ measured", "bf16 ÷ float32"):
        table.add_column(title, justify="right")
    for encoder, row in found["others"].items():
        error = row["estimate_over_measured"]
        shown = f"{error['median']:.2f} ({error['least']:.2f}-{error['most']:.2f})"
        table.add_row(encoder, str(row["steps"]), shown, f"{row['bf16_over_float32']:.2f}")
    console = Console(width=160)
    console.print(table)
    console.print("COEFFICIENTS =", found["coefficients"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=16, help="not fitted; twice as many are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        found = results(prepared(Path(root)), options.steps)
    show(found)
    write_json(RESULTS, found)


if __name__ == "__main__":
    main()
