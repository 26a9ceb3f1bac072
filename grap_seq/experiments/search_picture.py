"""The score over what it cost: the best of a search so far, beside runs that need none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from grap_seq.experiments.runs import OUTCOME, outcome
from grap_seq.pages.looks import COLOURS
from grap_seq.pages.style import GREY, INK, WIDE, styled

SEARCHED = "#6B7278"


@dataclass(frozen=True)
class Scored:
    """What a run scored, and what it took.

    Attributes:
        validation: score; None of a trial that was pruned.
        test: the same on test data; None of a trial that was not the best when it ended.
        seconds: of training, and of a trial of its validation score too.
        equal: whether all losses weighed the same.
    """

    validation: float | None
    test: float | None
    seconds: float
    equal: bool = False


@dataclass(frozen=True)
class Progress:
    """A search after each of its trials.

    Attributes:
        cost: of all trials so far, in median trials that were not pruned.
        validation: the best score so far; None: there is none.
        test: of the trial that has it.
    """

    cost: list[float]
    validation: list[float | None]
    test: list[float | None]


def progress(trials: Sequence[Scored]) -> Progress:
    """Trials in the order they ended in, as the search saw them."""
    run = typical(trials)
    best = list(accumulate(trials, _better))
    return Progress(
        cost=list(accumulate(trial.seconds / run for trial in trials)),
        validation=[one.validation for one in best],
        test=[one.test for one in best],
    )


def typical(trials: Sequence[Scored]) -> float:
    """Seconds of the median trial of those that were not pruned."""
    return median(trial.seconds for trial in trials if trial.validation is not None)


def _better(one: Scored, other: Scored) -> Scored:
    if one.validation is None or other.validation is None:
        return one if other.validation is None else other
    return other if other.validation > one.validation else one


def without_search(folder: Path, settings: Sequence[str], asked: str) -> list[Scored]:
    """Finished runs of a grid that were told these settings, whatever their seed.

    Args:
        folder: output of `reproduce`.
        settings: of `pretrain`.
        asked: how they are judged, `Job.asked`.

    Raises:
        ValueError: there is none.
    """
    wanted = _seedless(settings)
    found = []
    for path in sorted((folder / "runs").glob(f"*/{OUTCOME}")):
        one = outcome(path.parent)
        result = None if one is None else one.results.get(asked)
        if one is None or result is None or one.cost is None:
            continue
        if _seedless(one.settings or ()) == wanted:
            validation, test = (result[of]["embedding"] for of in ("validation", "test"))
            found.append(Scored(validation, test, one.cost["seconds"]))
    if not found:
        raise ValueError(
            f"beside={folder} has no finished run with {' '.join(sorted(wanted))}; make some with "
            "`grap-seq reproduce`, or leave beside= out"
        )
    return found


def _seedless(settings: Sequence[str]) -> set[str]:
    return {word for word in settings if not word.startswith("seed=")}


def draw_search(
    trials: Sequence[Scored], beside: Sequence[Scored], metric: str, width: float = WIDE
) -> Figure:
    """Validation score, by which the search chooses, and test score over the compute spent.

    Test scores are those of the trials that were the best when they ended.

    Args:
        trials: of the search, in the order they ended in.
        beside: GraP's runs; may be empty.
        metric: what is scored.
        width: in inches.
    """
    found, run = progress(trials), typical(trials)
    across, down = (2, 1) if width > 5 else (1, 2)
    with styled():
        figure = Figure(figsize=(width, 3.1 * down), layout="constrained")
        pair = np.asarray(figure.subplots(down, across, squeeze=False, sharex=True)).ravel()
        for axes, split in zip(pair, ("validation", "test"), strict=True):
            best, scores = (
                [math.nan if score is None else score for score in of]
                for of in (getattr(found, split), [getattr(trial, split) for trial in trials])
            )
            axes.plot(
                found.cost, scores, "o", ms=2.5, color=GREY, alpha=0.5, mew=0, label="a trial"
            )
            label = "best of the search by its validation score"
            axes.plot(found.cost, best, drawstyle="steps-post", color=SEARCHED, label=label)
            for cost, trial, score in zip(found.cost, trials, scores, strict=True):
                if trial.equal:
                    axes.plot(cost, score, "s", ms=6, color=INK, label="equal weights")
            if beside:
                _beside(axes, [one.seconds / run for one in beside], beside, split)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            most = 1.1 * max(2, found.cost[-1])
            axes.set_xticks([n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= most])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel("compute (training runs)")
            axes.set_title(f"{split} {metric}")
        handles, labels = pair[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=4 if across == 2 else 1,
            frameon=False,
            borderaxespad=0,
            columnspacing=1.4,
        )
    return figure


def _beside(axes: Axes, cost: Sequence[float], runs: Sequence[Scored], split: str) -> None:
    scores = [getattr(one, split) for one in runs]
    seeds = f"{len(runs)} seed{'s' * (len(runs) > 1)}"
    axes.errorbar(
        fmean(cost),
        fmean(scores),
        yerr=stdev(scores) if len(scores) > 1 else None,
        fmt="D",
        ms=6,
        color=COLOURS["grap"],
        lw=1.4,
        zorder=3,
        label=f"GraP, {seeds}",
    )
