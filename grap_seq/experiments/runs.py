"""One run of a grid, from training to its score: done once, whoever else works on the grid."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from grap_seq import cli, lock
from grap_seq.experiments.plan import Experiment
from grap_seq.files import write_json
from grap_seq.weighting.fixed import medians

OUTCOME, LOG, TRAINED = "outcome.json", "log.txt", "run"
# How often a run may take its process with it before it counts as failed.
ATTEMPTS = 2
PACKAGES = ("grap-seq", "torch", "pytorch-lifestream", "lightning", "lightgbm", "numpy")


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        state: done, failed, or begun: by a process that works on it, or died.
        attempts: how often it was begun.
        error: why it failed.
        seconds: of wall time of all stages, in the last attempt.
        result: content of evaluation.json.
        cost: of training, see `_cost`.
        weights: median weight of every loss, where losses were weighed.
        made_by: versions of packages, and the commit where there is one.
        settings: what the run was told.
    """

    state: str
    attempts: int
    error: str | None = None
    seconds: float | None = None
    result: dict[str, Any] | None = None
    cost: dict[str, float] | None = None
    weights: dict[str, float] | None = None
    made_by: dict[str, str] | None = None
    settings: list[str] | None = None


def outcome(folder: Path) -> Outcome | None:
    """What came of the run in a folder; None where nobody began it."""
    path = folder / OUTCOME
    return Outcome(**json.loads(path.read_text("utf-8"))) if path.is_file() else None


def made_by() -> dict[str, str]:
    """Versions that results depend on, and the commit of a checkout."""
    found = {name: version(name) for name in PACKAGES}
    # An installed package may lie in a checkout of something else.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return found
    commit = _git("describe", "--always", "--dirty")
    return found if commit is None else found | {"commit": commit}


def _git(*words: str) -> str | None:
    """What git says of this folder; None where it, or the command, has nothing to say."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def do(experiment: Experiment, root: Path, data: Path, threads: int) -> Outcome | None:
    """Train, embed and evaluate, as far as it is not done yet.

    Args:
        root: folder of all runs.
        data: folder of prepared folders.
        threads: of this run; 1 makes it bit-reproducible.

    Returns:
        What came of it; None where another process works on it.
    """
    folder = root / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            # The run's own files are the run's.
            stack.enter_context(lock.locked(folder, names=(OUTCOME,)))
        except FileExistsError:
            return None
        before = outcome(folder)
        if before is not None and before.state != "begun":
            return before
        attempts = 1 + (0 if before is None else before.attempts)
        if attempts > ATTEMPTS:
            found = Outcome("failed", attempts - 1, error="its process was killed each time")
        else:
            write_json(folder / OUTCOME, asdict(Outcome("begun", attempts)))
            found = _tried(experiment, root, data, threads, attempts)
        write_json(folder / OUTCOME, asdict(found))
        return found


def _tried(experiment: Experiment, root: Path, data: Path, threads: int, attempts: int) -> Outcome:
    folder, base = root / experiment.name, experiment.base
    if base is None:
        train = partial(_pretrain, experiment.training, data / experiment.dataset)
    else:
        train = partial(_finetune, root / base.name / TRAINED, experiment.seed)
    found = _recorded(folder, train, experiment.evaluation, threads)
    return replace(found, attempts=attempts, settings=experiment.training)


def trained_and_scored(
    folder: Path, training: list[str], prepared: Path, evaluation: list[str], threads: int
) -> Outcome:
    """Pretrain with some settings, embed and evaluate in a folder; an error is an outcome."""
    folder.mkdir(parents=True, exist_ok=True)
    found = _recorded(folder, partial(_pretrain, training, prepared), evaluation, threads)
    return replace(found, settings=training)


def _recorded(
    folder: Path, train: Callable[[Path, int], None], evaluation: list[str], threads: int
) -> Outcome:
    """What comes of a run, whose words go to a log."""
    start = time.perf_counter()
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        try:
            result, cost, weights = _stages(folder / TRAINED, train, evaluation, threads)
        except Exception as error:
            traceback.print_exc(file=log)
            said = f"{type(error).__name__}: {error}"
            return Outcome("failed", 1, error=said, made_by=made_by())
    seconds = time.perf_counter() - start
    return Outcome("done", 1, None, seconds, result, cost, weights, made_by())


def _pretrain(training: list[str], prepared: Path, run: Path, threads: int) -> None:
    ours = ["resume=true", f"trainer.threads={threads}"]
    cli.pretrain([*training, f"prepared={prepared}", f"run={run}", *ours])


def _finetune(base: Path, seed: int, run: Path, threads: int) -> None:
    ours = ["resume=true", f"trainer.threads={threads}"]
    cli.finetune([f"run={base}", f"output={run}", f"seed={seed}", *ours])


def _stages(
    run: Path, train: Callable[[Path, int], None], evaluation: list[str], threads: int
) -> tuple[dict[str, Any], dict[str, float], dict[str, float] | None]:
    """Content of evaluation.json, what training cost, and the losses' weights."""
    started = time.perf_counter()
    if not (run / "model.safetensors").is_file():
        train(run, threads)
    cost = _cost(run, time.perf_counter() - started)
    if not (run / "embeddings" / "train.parquet").is_file():
        cli.embed([f"run={run}", f"threads={threads}"])
    cli.evaluate([f"run={run}", f"threads={threads}", *evaluation])
    result = json.loads((run / "evaluation.json").read_text("utf-8"))
    return result, cost, medians(run) if (run / "weights.parquet").is_file() else None


def _cost(run: Path, seconds: float) -> dict[str, float]:
    """Of training: wall seconds, also of the epochs alone, epochs, optimiser steps, peak MiB."""
    metrics = pd.read_csv(run / "metrics.csv")
    # A run that was trained before memory was measured has none.
    memory = metrics.get("peak_memory_mib", pd.Series([float("nan")]))
    return {
        "seconds": seconds,
        "epochs": float(len(metrics)),
        "epoch_seconds": float(metrics["seconds"].sum()),
        "steps": float(metrics["step"].iloc[-1]),
        "peak_memory_mib": float(memory.max()),
    }
