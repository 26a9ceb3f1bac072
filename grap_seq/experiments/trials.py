"""Trials of a search by several processes and machines, over what a space leaves open.

A trial is a run as tables have it. What a killed process has begun is given to another one.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

from grap_seq import lock
from grap_seq.experiments.estimate import as_time
from grap_seq.experiments.job import Job
from grap_seq.experiments.pruning import NONE, Prune, Pruned, pruner
from grap_seq.experiments.runs import do
from grap_seq.experiments.search import JOURNAL, Search
from grap_seq.terminal import say
from grap_seq.training.watching import watching

# Seconds until a trial without a process at its run counts as left by it.
PATIENCE = 60.0


def study_of(search: Search, worker: int) -> Any:
    """The study of a search in its journal, for one of its processes."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    # It would print all weights of a trial that fails, of which the log has the cause.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: Any = optuna.samplers
    # Others' trials that are under way count as bad, so that two workers try different ones.
    kind, options = {
        "tpe": (samplers.TPESampler, {"constant_liar": True}),
        "random": (samplers.RandomSampler, {}),
    }[search.sampler]
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(search.output / JOURNAL))),
        sampler=kind(seed=search.experiment.seed + worker, **options),
        pruner=pruner(search.pruner),
        study_name=search.name,
        direction="maximize",
        load_if_exists=True,
    )


def do_trials(search: Search, study: Any) -> None:
    """Do trials until there are enough."""
    while len(_counted(study)) < search.trials:
        trial = study.ask(dict(search.space.searched))
        before = [one for one in _counted(study) if one.number < trial.number]
        if len(before) < search.trials:
            _try(search, study, trial)
        else:
            # Another process has asked for the last one just before.
            _leave(study, trial.number)


def _try(search: Search, study: Any, trial: Any) -> None:
    from optuna.trial import TrialState

    job = replace(search.tried(trial.params).job(search.data, search.threads), tested=False)
    start = time.perf_counter()
    watcher = None if search.pruner == NONE else Prune(trial)
    try:
        with nullcontext() if watcher is None else watching(watcher):
            came = do(job, search.runs)
    except Pruned:
        seconds = time.perf_counter() - start
        trial.set_user_attr("seconds", seconds)
        study.tell(trial, state=TrialState.PRUNED)
        _say(search, study, job, f"was ended after {as_time(seconds)}, behind the others")
        return
    if came is None:
        # Another process is at just this run.
        _leave(study, trial.number)
        return
    if came.result is None:
        trial.set_user_attr("error", came.error)
        study.tell(trial, state=TrialState.FAIL)
        _say(search, study, job, f"failed: {came.error}")
        return
    validation = (came.result["validation"] or {}).get("embedding")
    if validation is None:
        raise ValueError(
            f"{search.experiment.dataset} has too few labelled validation sequences to choose by"
        )
    assert came.seconds is not None
    trial.set_user_attr("seconds", came.seconds)
    study.tell(trial, validation)
    scored = f"{validation:.4f} on validation data after {as_time(came.seconds)}"
    done = _say(search, study, job, f"{scored}, the best has {study.best_value:.4f}")
    if watcher is not None and done == 1 and watcher.early is False:
        say(
            f"pruner={search.pruner} can end no trial before its last epoch: no earlier one is"
            " scored. Give runs more epochs, or a smaller with.validate_every."
        )


def _say(search: Search, study: Any, job: Job, what: str) -> int:
    """What has come of a trial, and how long the others may take; returns how many have ended."""
    from optuna.trial import TrialState

    ended = [one for one in _counted(study) if one.state != TrialState.RUNNING]
    took = [one.user_attrs["seconds"] for one in ended if "seconds" in one.user_attrs]
    missing = max(0, search.trials - len(ended))
    left = f"; {as_time(mean(took) * missing)} left for one process" if took else ""
    say(f"{job.title}, trial {len(ended)} of {search.trials}: {what}{left}.")
    return len(ended)


def _counted(study: Any) -> list[Any]:
    """Trials under way, those that succeeded or were pruned, and those whose run failed."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED)
    return [
        one
        for one in study.get_trials(deepcopy=False)
        if one.state in ended or "error" in one.user_attrs
    ]


def _leave(study: Any, number: int) -> None:
    """End a trial that counts for nothing."""
    from optuna.trial import TrialState

    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def give_back(search: Search, study: Any) -> int:
    """Begin the trials of processes that have died again; returns how many are under way."""
    from optuna.trial import TrialState

    running = study.get_trials(states=(TrialState.RUNNING,))
    for trial in running:
        held = _held(search.runs / search.tried(trial.params).name)
        late = datetime.now() - trial.datetime_start > timedelta(seconds=PATIENCE)
        if late and not held:
            _leave(study, trial.number)
            study.enqueue_trial(trial.params)
    return len(running)


def _held(folder: Path) -> bool:
    """Whether a process is at work in a run's folder."""
    if not folder.is_dir():
        return False
    try:
        with lock.locked(folder, names=()):
            return False
    except FileExistsError:
        return True
