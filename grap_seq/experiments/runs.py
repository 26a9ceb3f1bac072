"""One run of a grid, from training to its score: done once, whoever else works on the grid."""

from __future__ import annotations

import contextlib
import errno
import json
import subprocess
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from grap_seq import commands, lock
from grap_seq import config as configs
from grap_seq.experiments.job import Job
from grap_seq.files import write_json
from grap_seq.pages.read import PROBE
from grap_seq.weighting.fixed import medians

OUTCOME, LOG, TRAINED = "outcome.json", "log.txt", "run"
# How often a run may take its process with it before it counts as failed.
ATTEMPTS = 2
PACKAGES = ("grap-seq", "torch", "pytorch-lifestream", "lightning", "lightgbm", "numpy")
# What is no fault of a run: it stops the grid, which goes on when there is space again.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        state: done, failed, or begun: by a process that works on it, or died.
        attempts: how often it was begun.
        error: why it failed.
        asked: how it was to be judged, `Job.asked`.
        seconds: of wall time of training and of judging it as it was asked for last.
        results: by how it was judged, content of evaluation.json; of a trial of a search the
            validation score of the embedding alone. None of a run that is trained and no more.
        cost: of training, see `_cost`.
        weights: median weight of every loss, where losses were weighed.
        made_by: versions of packages, and the commit where there is one.
        begun_by: the same of an earlier attempt, where they were others.
        settings: what the run was told.
    """

    state: str
    attempts: int
    error: str | None = None
    asked: str = ""
    seconds: float | None = None
    results: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    cost: dict[str, float] | None = None
    weights: dict[str, float] | None = None
    made_by: dict[str, str] | None = None
    begun_by: dict[str, str] | None = None
    settings: list[str] | None = None

    @property
    def result(self) -> dict[str, Any] | None:
        """What it was asked for; None where it has failed, or is not judged."""
        return self.results.get(self.asked)


def outcome(folder: Path) -> Outcome | None:
    """What came of the run in a folder; None where nobody began it.

    Raises:
        ValueError: another version has written it.
    """
    path = folder / OUTCOME
    if not path.is_file():
        return None
    known = json.loads(path.read_text("utf-8"))
    if known.keys() - {one.name for one in fields(Outcome)}:
        raise ValueError(
            f"{path} was written by another version of grap_seq; name another folder for these "
            f"runs, or delete {folder}"
        )
    return Outcome(**known)


def came_of(job: Job, root: Path) -> Outcome | None:
    """What came of a run, as far as it is what is asked for; None where nobody began it.

    A run that was trained for another evaluation counts as begun: only that is missing.
    """
    found = outcome(root / job.name)
    if found is None:
        return None
    if job.asked in found.results:
        found = replace(found, state="done", error=None)
    elif job.asked != found.asked and found.state != "begun":
        found = replace(found, state="begun", attempts=0, error=None)
    return replace(found, asked=job.asked)


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


def do(job: Job, root: Path) -> Outcome | None:
    """Train, and embed and evaluate where that is asked for, as far as it is not done yet.

    Args:
        job: the run.
        root: folder of all runs.

    Returns:
        What came of it; None where another process works on it.

    Raises:
        OSError: the disk is full.
    """
    folder = root / job.name
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            # The run's own files are the run's.
            stack.enter_context(lock.locked(folder, names=(OUTCOME,)))
        except FileExistsError:
            return None
        before = came_of(job, root)
        if before is not None and before.state != "begun":
            return before
        attempts, by = 1 + (0 if before is None else before.attempts), made_by()
        earlier = None if before is None else before.begun_by or before.made_by
        begun = replace(
            before or Outcome("begun", 0, asked=job.asked),
            attempts=attempts,
            made_by=by,
            begun_by=earlier if earlier != by else None,
        )
        if attempts > ATTEMPTS:
            error = "its process was killed each time"
            found = replace(begun, state="failed", attempts=attempts - 1, error=error)
        else:
            write_json(folder / OUTCOME, asdict(begun))
            try:
                found = _tried(job, root, begun)
            except BaseException:
                # Nobody killed it: it stops because of what happened elsewhere.
                with contextlib.suppress(OSError):
                    write_json(folder / OUTCOME, asdict(replace(begun, attempts=attempts - 1)))
                raise
        write_json(folder / OUTCOME, asdict(found))
        return found


def _tried(job: Job, root: Path, begun: Outcome) -> Outcome:
    """What comes of a run, whose words go to a log."""
    begun, start = replace(begun, settings=list(job.settings)), time.perf_counter()
    path = root / job.name / LOG
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        try:
            result, cost, weights = _stages(job, root)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            traceback.print_exc(file=log)
            return replace(begun, state="failed", error=f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - start
    if begun.cost:
        # It was trained before, for another evaluation.
        cost, seconds = begun.cost, seconds + begun.cost["seconds"]
    results = {**begun.results, job.asked: result}
    return replace(
        begun, state="done", seconds=seconds, results=results, cost=cost, weights=weights
    )


def _stages(
    job: Job, root: Path
) -> tuple[dict[str, Any] | None, dict[str, float], dict[str, float] | None]:
    """Content of evaluation.json, or the validation score, what training cost, and the weights."""
    run, started = root / job.name / TRAINED, time.perf_counter()
    # The last file of training.
    if not (run / "model.json").is_file():
        _train(job, root, run)
    cost = _cost(run, time.perf_counter() - started)
    weights = medians(run) if (run / "weights.parquet").is_file() else None
    if (run / PROBE).is_file():
        probed = json.loads((run / PROBE).read_text("utf-8"))
        test = {"embedding": probed["accuracy"], "untrained": probed["untrained"]}
        return {"metric": "accuracy", "test": test, "validation": None}, cost, weights
    if job.evaluation is None:
        return None, cost, weights
    if not job.tested:
        return {"validation": {"embedding": _validation(job, run)}}, cost, weights
    # All of them, also where some are there: it may have been stopped between two files.
    commands.embed([f"run={run}", f"threads={job.threads}"])
    commands.evaluate([f"run={run}", f"threads={job.threads}", *job.evaluation])
    return json.loads((run / "evaluation.json").read_text("utf-8")), cost, weights


def _validation(job: Job, run: Path) -> float | None:
    from grap_seq.evaluation.boosting import Boosting
    from grap_seq.evaluation.validation import validation_score

    assert job.prepared is not None
    assert job.evaluation is not None
    settings = configs.compose("evaluate", [f"run={run}", *job.evaluation])
    known = configs.load(run / "config.yaml")["dataset"]["boosting"]
    return validation_score(
        run,
        job.prepared,
        seed=settings.seed,
        threads=job.threads,
        boosting=Boosting.from_config(known, dict(settings.boosting)),
        all_labels=settings.all_labels,
    )


def _train(job: Job, root: Path, run: Path) -> None:
    settings = [*job.settings, "resume=true", f"trainer.threads={job.threads}"]
    if job.prepared is not None:
        settings.append(f"{'source' if job.command == 'vision' else 'prepared'}={job.prepared}")
    base = None if job.base is None else root / job.base.name / TRAINED
    if job.command == "finetune":
        commands.finetune([*settings, f"run={base}", f"output={run}"])
        return
    if base is not None:
        settings.append(f"weighting.weights={base}")
    commands.COMMANDS[job.command]([*settings, f"run={run}"])


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
