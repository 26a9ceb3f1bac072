"""`grap-seq tune`: constant weights by search, as the paper's "Optuna" rows have them, or the own
options of a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grap_seq import choices
from grap_seq import config as configs
from grap_seq.experiments.methods import method
from grap_seq.experiments.pictures import Picture
from grap_seq.experiments.plan import Experiment, check_free, check_prepared, flat
from grap_seq.experiments.pruning import NONE, scoring
from grap_seq.experiments.run_search import run_search, scored
from grap_seq.experiments.search import Found, Search
from grap_seq.experiments.search_picture import Scored, draw_search, without_search
from grap_seq.experiments.space import WEIGHTS, space_of
from grap_seq.pages.verdict import METRIC_NAMES
from grap_seq.schema import Schema


def tune(settings: Any) -> tuple[Found, Path]:
    """Search, and write what was found, and a picture: search_*.svg and .png.

    Args:
        settings: of `configs/tune.yaml`.

    Returns:
        What was found, and the file that has it.

    Raises:
        ValueError: optuna is missing, no trial succeeded, what is searched makes no sense, or
            `beside` has no run of GraP with these settings.
        FileNotFoundError: the dataset is not prepared.
    """
    experiment = Experiment(
        settings.dataset.name,
        settings.encoder.name,
        settings.search.method,
        settings.seed,
        settings.budget,
        tuple(flat(settings["with"])),
    )
    prunes = settings.pruner != NONE
    search = search_of(
        replace(experiment, settings=tuple(scoring(experiment))) if prunes else experiment,
        [*settings.search.space, *settings.also],
        settings.search.each_loss,
        output=Path(settings.output),
        data=Path(settings.data),
        trials=settings.trials,
        sampler=settings.sampler,
        threads=settings.threads,
        pruner=settings.pruner,
    )
    # What stands beside the search has to be there before it begins.
    compared: list[Scored] = []
    if settings.beside is not None:
        grap = replace(experiment, method="grap")
        asked = grap.job(Path(settings.data), settings.threads).asked
        compared = without_search(Path(settings.beside), grap.training, asked)
    found = run_search(search, settings.workers)
    if found is None:
        raise ValueError(f"all trials failed; see log.txt in their folders in {search.runs}")
    _picture(search, compared).write(search.output / "search")
    return found, search.file


def _picture(search: Search, compared: Sequence[Scored]) -> Picture:
    """Of what the search has reached by what it cost."""
    experiment = search.experiment
    label = Schema.load(search.data / experiment.dataset).label()
    assert label is not None
    return Picture(
        f"{experiment.dataset}_{experiment.encoder}",
        "Scores over compute.",
        draw_search(scored(search), compared, METRIC_NAMES[label.metric]),
    )


def search_of(
    experiment: Experiment, space: Sequence[str], each_loss: str | None, **more: Any
) -> Search:
    """A search that can be done, see `space_of` and `Search`.

    Raises:
        ValueError: optuna is missing, or what is searched makes no sense.
        FileNotFoundError: the dataset is not prepared.
    """
    if find_spec("optuna") is None:
        raise ValueError("a search needs Optuna; run `pip install 'grap-seq[tune]'`")
    own = [*method(experiment.method).settings, *space, *([f"{WEIGHTS}="] if each_loss else [])]
    check_free(experiment.settings, own)
    prepared = more["data"] / experiment.dataset
    check_prepared(experiment.dataset, prepared)
    return Search(experiment, space_of(experiment, space, each_loss, prepared), **more)


def own_search(name: str) -> list[str]:
    """The search of a method's own options.

    Raises:
        ValueError: there is none.
    """
    known = [choice for choice in choices.names("search") if choice != "weights"]
    if name not in known:
        raise ValueError(
            f"tuned: {name} has no search of its own options; choose methods=[{','.join(known)}]"
        )
    return list(configs.compose("tune", [f"search={name}"]).search.space)
