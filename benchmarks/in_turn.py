"""Processes that take turns, so that a busy machine slows all of them alike.

Each works with the code of one checkout (`benchmarks/step_worker.py`); one works while the others
wait. What is compared are steps next to each other, by CPU time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from grap_seq.onednn import BOUNDS
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare

HERE = Path(__file__).resolve().parents[1]
# Folder of the data as commits before schemas of several labels read them, see `step_worker`.
OLDER, SCHEMA = "older", "schema.yaml"
# Events of the artificial data: enough for sequences of the real mean length.
DATA = {"churn": 100_000, "alfabattle": 150_000}
BATCH = 32
SIZES = {
    "gru": ["encoder.hidden={hidden}"],
    "ht_transformer": ["encoder.hidden={hidden}", "encoder.layers=4", "encoder.feedforward=512"],
}


class Case(NamedTuple):
    """A row of the tables."""

    data: str
    encoder: str
    hidden: int

    def overrides(self, weighting: str) -> list[str]:
        """Of the pretraining config."""
        sizes = [size.format(hidden=self.hidden) for size in SIZES[self.encoder]]
        return [f"dataset={self.data}", f"encoder={self.encoder}", *sizes, f"weighting={weighting}"]


class Precision(NamedTuple):
    """Of a step: as Lightning's `precision`, and as `torch.set_float32_matmul_precision`'s."""

    training: str = "32-true"
    products: str = "highest"


EXACT = Precision()


class Worker:
    """A process with one checkout's code, ready to fetch batches and to train.

    Args:
        checkout: root of a checkout of this repository.
        folder: prepared data.
        case: what to train.
        weighting: and how.
        precision: of the steps.
        same: batches that do not depend on the commit, instead of its own.
        environment: variables of the process.
        batch: sequences in a batch.

    Raises:
        ValueError: `checkout` has no `grap_seq`.
    """

    def __init__(
        self,
        checkout: Path,
        folder: Path,
        case: Case,
        weighting: str = "grap",
        *,
        precision: Precision = EXACT,
        same: bool = False,
        environment: dict[str, str] | None = None,
        batch: int = BATCH,
    ) -> None:
        checkout = checkout.resolve()
        if not (checkout / "grap_seq").is_dir():
            raise ValueError(f"{checkout} is no checkout of this repository: it has no grap_seq/")
        variables = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", **BOUNDS}
        variables |= environment or {}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "benchmarks" / "step_worker.py")],
            cwd=checkout,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        settings = {
            "folder": str(folder.resolve()),
            "overrides": case.overrides(weighting),
            "batch_size": batch,
            "same": same,
            "precision": precision.training,
            "matmul_precision": precision.products,
        }
        root = self._exchange(settings)
        assert root == str(checkout), f"imported {root} in place of {checkout}"

    def ask(self, request: str, number: int) -> Any:
        """The answer of a method of `step_worker.Training`."""
        return self._exchange([request, number])

    def _exchange(self, message: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker stopped with {self.process.wait()}; see its message")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def take_turns(
    workers: Sequence[Worker], request: str, steps: int, warm: int = 2
) -> list[list[dict[str, float]]]:
    """Each worker's answers for `steps` steps behind some to warm up; the order turns around."""
    answers: list[list[dict[str, float]]] = [[] for _ in workers]
    order = list(range(len(workers)))
    for number in range(warm + steps):
        for index in order:
            answers[index].append(workers[index].ask(request, number))
        order.reverse()
    return [of_worker[warm:] for of_worker in answers]


def quartiles(values: Sequence[float]) -> list[float]:
    """Lower quartile, median and upper quartile."""
    if len(values) < 2:
        return list(values) * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def spread(values: Sequence[float]) -> str:
    """Quartiles for a table."""
    low, middle, high = values
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def prepared(dataset: str, folder: Path) -> Path:
    """Artificial data of a dataset, prepared; beside it stands what older commits read."""
    source, made = synth(dataset, folder / "raw", DATA[dataset], 0), folder / "prepared"
    with contextlib.redirect_stdout(io.StringIO()):
        prepare(dataset, made, source=source)
    _write_older(made, folder / OLDER)
    return made


def _write_older(prepared: Path, older: Path) -> None:
    """The same data under a schema of one label and no end of observation."""
    older.mkdir()
    for entry in prepared.iterdir():
        if entry.name != SCHEMA:
            (older / entry.name).symlink_to(entry)
    schema = yaml.safe_load((prepared / SCHEMA).read_text("utf-8"))
    (label,) = schema["labels"]
    content = {key: schema[key] for key in ("name", "id", "time_unit", "fields")}
    content |= {"label": label["name"], "classes": label["classes"], "metric": label["metric"]}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    content["hash"] = hashlib.sha256(text.encode()).hexdigest()
    (older / SCHEMA).write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def commit(checkout: Path) -> str:
    """Short name of a checkout's commit."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
