"""A search from its first trial to what it has found.

The first trial has the method as it is, so that a search never ends below it on validation data.
No trial is scored on test data while the search goes on; those that were the best when they ended
are at its end.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from statistics import median
from typing import Any

from grap_seq.experiments.job import Job
from grap_seq.experiments.runs import came_of
from grap_seq.experiments.search import Found, Search
from grap_seq.experiments.search_picture import Scored
from grap_seq.experiments.space import weights_of
from grap_seq.experiments.trials import do_trials, give_back, study_of
from grap_seq.experiments.workers import PAUSE, beside, ended, work
from grap_seq.files import write_json
from grap_seq.terminal import say


def run_search(search: Search, workers: int) -> Found | None:
    """Do the trials, as far as they are not done yet, and write what was found to `search.file`.

    Returns:
        What was found; None where all trials have failed.

    Raises:
        ValueError: the dataset has no validation scores.
        OSError: the disk is full.
    """
    search.output.mkdir(parents=True, exist_ok=True)
    study = study_of(search, 0)
    study.enqueue_trial(dict(search.space.start), skip_if_exists=True)
    give_back(search, study)
    with beside(workers - 1, _help, search):
        do_trials(search, study)
    # Others' trials count: all that share the folder have to find the same.
    while give_back(search, study):
        time.sleep(PAUSE)
        do_trials(search, study)
    _test_records(search, study)
    found = _found(search, study)
    if found is not None:
        write_json(search.file, asdict(found))
    return found


def _help(search: Search, worker: int) -> None:
    do_trials(search, study_of(search, worker))


def scored(search: Search) -> list[Scored]:
    """The trials that have succeeded or were pruned, in the order they ended in."""
    from optuna.trial import TrialState

    return [
        Scored(
            trial.value if trial.state == TrialState.COMPLETE else None,
            _test(search, trial),
            trial.user_attrs["seconds"],
            equal=set(weights_of(trial.params).values()) == {1.0},
        )
        for trial in _ended(study_of(search, 0), pruned=True)
    ]


def _ended(study: Any, *, pruned: bool = False) -> list[Any]:
    """The trials that have succeeded, in the order they ended in, or those that were pruned too."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    done = study.get_trials(states=states if pruned else states[:1])
    return sorted(done, key=lambda one: one.datetime_complete)


def _test_records(search: Search, study: Any) -> None:
    """Evaluate the trials that were the best when they ended as a whole."""
    records: list[Job] = []
    best = -math.inf
    for trial in _ended(study):
        if trial.value > best:
            best = trial.value
            records.append(search.tried(trial.params).job(search.data, search.threads))
    left = [job for job in records if not ended(search.runs, job)]
    if left:
        say(f"{left[0].title}: {len(left)} trials, each the best until then, on test data.")
    work(records, search.runs)


def _test(search: Search, trial: Any) -> float | None:
    """Test score of a trial that was evaluated as a whole."""
    came = came_of(search.tried(trial.params).job(search.data, search.threads), search.runs)
    return None if came is None or came.result is None else came.result["test"]["embedding"]


def _found(search: Search, study: Any) -> Found | None:
    from optuna.trial import TrialState

    done, pruned = (
        study.get_trials(states=(state,)) for state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    failed = sum("error" in one.user_attrs for one in study.get_trials(deepcopy=False))
    if not done:
        return None
    best = study.best_trial
    seconds = [sum(trial.user_attrs["seconds"] for trial in of) for of in (done, pruned)]
    typical = median(trial.user_attrs["seconds"] for trial in done)
    tried = search.tried(best.params)
    return Found(
        method=search.experiment.method,
        options=tried.options,
        weights=weights_of(best.params),
        settings=tried.training,
        validation=best.value,
        test=_test(search, best),
        start=next((one.value for one in done if one.params == search.space.start), None),
        trials=len(done),
        failed=failed,
        seconds=sum(seconds),
        runs=sum(seconds) / typical,
        pruned=len(pruned),
    )
