"""What a search is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grap_seq.experiments.plan import Experiment
from grap_seq.experiments.pruning import NONE
from grap_seq.experiments.space import Space

JOURNAL, RUNS = "journal.log", "runs"


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
        pruner: of `pruning.pruner`.
    """

    experiment: Experiment
    space: Space
    output: Path
    data: Path
    trials: int
    sampler: str
    threads: int
    pruner: str = NONE

    @property
    def name(self) -> str:
        """Of the study and its file: other settings have another one."""
        words = [*self.space.fixed, *(f"{key}={kind}" for key, kind in self.space.searched.items())]
        words += [] if self.pruner == NONE else [f"pruner={self.pruner}"]
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
        seconds: of all trials, each with its validation score, and of those that were pruned.
        runs: the same in median trials that succeeded.
        pruned: how many were ended because they were behind the others.
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
    pruned: int = 0
