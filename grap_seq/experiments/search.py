"""Trials of a search by several processes and machines, over what a space leaves open.

The first trial has the method as it is, so that a search never ends below it on validation data.
Trials are not pruned: weights change what a loss means, and the score that decides exists at a
run's end. No trial is scored on test data while the search goes on; those that were the best when
they ended are at its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from grap_seq import lock
from grap_seq.experiments.estimate import as_time
from grap_seq.experiments.job import Job
from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.runs import came_of, do
from grap_seq.experiments.search_picture import Scored
from grap_seq.experiments.space import Space, weights_of
from grap_seq.experiments.workers import PAUSE, beside, ended, work
from grap_seq.files import write_json
from grap_seq.terminal import say

JOURNAL, RUNS = "journal.log", "runs"
# Seconds until a trial without a process at its run counts as left by it.
PATIENCE = 60.0


@dataclass(frozen=True)
class Search:
    """A search.

    Args:
        experiment: the method that is searched.
        space: what is tried.
        output: folder of the journal, the runs and what was found.
        data: folder of prepared folders.
        trials: how many, those that fail among them.
        sampler: "tpe" or "random".
        threads: of a run.
    """

    experiment: Experiment
    space: Space
    output: Path
    data: Path
    trials: int
    sampler: str
    threads: int

    @property
    def name(self) -> str:
        """Of the study and its file: other settings have another one."""
        words = [*self.space.fixed, *(f"{key}={kind}" for key, kind in self.space.searched.items())]
        return replace(self.experiment, options=tuple(words)).name

    @property
    def file(self) -> Path:
        """Of what was found."""
        return self.output / f"{self.name}.json"

    @property
    def runs(self) -> Path:
        """Folder of the trials' runs."""
        return self.output / RUNS

    def tried(self, drawn: dict[str, Any]) -> Experiment:
        """The run of a trial."""
        return replace(self.experiment, options=self.space.typed(drawn))


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Args:
        method: whose options they are.
        options: the settings of the best trial that were searched, or fixed for the search.
        weights: of the losses, by name, where they were searched.
        settings: all settings of `pretrain` of the best trial.
        validation: its score, by which it was chosen.
        test: the same on test data; None where that failed.
        start: validation score of the first trial, of the method as it is; None: it failed.
        trials, failed: how many succeeded and failed.
        seconds: of all trials, each with its validation score.
        runs: the same in median trials.
    """

    method: str
    options: Sequence[str]
    weights: dict[str, float]
    settings: Sequence[str]
    validation: float
    test: float | None
    start: float | None
    trials: int
    failed: int
    seconds: float
    runs: float


def run_search(search: Search, workers: int) -> Found | None:
    """Do the trials, as far as they are not done yet, and write what was found to `search.file`.

    Returns:
        What was found; None where all trials have failed.

    Raises:
        ValueError: the dataset has no validation scores.
        OSError: the disk is full.
    """
    search.output.mkdir(parents=True, exist_ok=True)
    study = _study(search, 0)
    study.enqueue_trial(dict(search.space.start), skip_if_exists=True)
    _give_back(search, study)
    with beside(workers - 1, _work, search):
        _trials(search, study)
    # Others' trials count: all that share the folder have to find the same.
    while _give_back(search, study):
        time.sleep(PAUSE)
        _trials(search, study)
    _test_records(search, study)
    found = _found(search, study)
    if found is not None:
        write_json(search.file, asdict(found))
    return found


def scored(search: Search) -> list[Scored]:
    """The trials that have succeeded, in the order they ended in."""
    return [
        Scored(
            trial.value,
            _test(search, trial),
            trial.user_attrs["seconds"],
            equal=set(weights_of(trial.params).values()) == {1.0},
        )
        for trial in _ended(_study(search, 0))
    ]


def _ended(study: Any) -> list[Any]:
    """The trials that have succeeded, in the order they ended in."""
    from optuna.trial import TrialState

    done = study.get_trials(states=(TrialState.COMPLETE,))
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


def _study(search: Search, worker: int) -> Any:
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
        study_name=search.name,
        direction="maximize",
        load_if_exists=True,
    )


def _work(search: Search, worker: int) -> None:
    _trials(search, _study(search, worker))


def _trials(search: Search, study: Any) -> None:
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
    came = do(job, search.runs)
    if came is None:
        # Another process is at just this run.
        _leave(study, trial.number)
        return
    if came.result is None:
        trial.set_user_attr("error", came.error)
        study.tell(trial, state=TrialState.FAIL)
        say(f"{job.title}, trial {trial.number} failed: {came.error}")
        return
    validation = (came.result["validation"] or {}).get("embedding")
    if validation is None:
        raise ValueError(
            f"{search.experiment.dataset} has too few labelled validation sequences to choose by"
        )
    assert came.seconds is not None
    trial.set_user_attr("seconds", came.seconds)
    study.tell(trial, validation)
    done = sum(one.state != TrialState.RUNNING for one in _counted(study))
    left = as_time(came.seconds * max(0, search.trials - done))
    say(
        f"{job.title}, trial {done} of {search.trials}: {validation:.4f} on validation data"
        f" after {as_time(came.seconds)}; {left} left for one process."
    )


def _counted(study: Any) -> list[Any]:
    """Trials under way, those that succeeded, and those whose run failed."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.RUNNING)
    return [
        one
        for one in study.get_trials(deepcopy=False)
        if one.state in ended or "error" in one.user_attrs
    ]


def _leave(study: Any, number: int) -> None:
    """End a trial that counts for nothing."""
    from optuna.trial import TrialState

    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _give_back(search: Search, study: Any) -> int:
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


def _found(search: Search, study: Any) -> Found | None:
    from optuna.trial import TrialState

    done = study.get_trials(states=(TrialState.COMPLETE,))
    failed = sum("error" in one.user_attrs for one in study.get_trials(deepcopy=False))
    if not done:
        return None
    best, seconds = study.best_trial, [trial.user_attrs["seconds"] for trial in done]
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
        runs=sum(seconds) / median(seconds),
    )
