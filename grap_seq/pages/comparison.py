"""`grap-seq report runs=[...]`: one page that compares runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.progress import track

from grap_seq.experiments.scores import FEATURES, tied
from grap_seq.files import atomic_write
from grap_seq.pages import trajectories
from grap_seq.pages.bars import MEASURES, draw_costs
from grap_seq.pages.compared import Method, Run, Section, sections
from grap_seq.pages.find import find, is_finished
from grap_seq.pages.looks import Look, looks
from grap_seq.pages.panels import MOST_PANELS, OF_MANY, Values, draw_panels, foremost
from grap_seq.pages.read import EVALUATION, read
from grap_seq.pages.render import images, render
from grap_seq.pages.verdict import METRIC_NAMES
from grap_seq.pages.words import listing, shown
from grap_seq.stored_run import is_of_images

FILE = "comparison.html"
# Titles of the figures, and what their values are.
VALUES: dict[str, tuple[str, Values]] = {
    "validation": ("loss on validation sequences", "free"),
    "weights": ("weight of the loss", "positive"),
    "cosines": ("cosine of the loss's gradient with the downstream gradient", "signed"),
}


def compare(names: Sequence[str], output: Path | None = None) -> Path:
    """Write a page that compares finished runs, those of each dataset in a section of their own.

    Runs that differ in their seed alone are one method. Runs without a model are named, and left
    out.

    Args:
        names: run folders, folders of a grid's runs, and patterns of them such as runs/*.
        output: folder for comparison.html; None: the one that holds all runs.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: one is no run, or a pattern matches nothing.
        ValueError: no run is finished, one is of images, a file is damaged, or a score is of an
            earlier model.
    """
    folders = find(names)
    finished = [folder for folder in folders if is_finished(folder)]
    if not finished:
        raise ValueError(
            f"runs: none of {listing(map(str, folders))} has a model yet; finish one with "
            "`grap-seq pretrain ... resume=true`"
        )
    runs = [_read(folder) for folder in track(finished, "reading", transient=True)]
    found = sections(runs)
    parts = [_section(section) for section in track(found, "drawing", transient=True)]
    page = render(
        "comparison.html",
        title=_title(found),
        runs=runs,
        sections=parts,
        unfinished=[str(folder) for folder in folders if folder not in finished],
        stretches=trajectories.STRETCHES,
    )
    path = (_common(finished) if output is None else output) / FILE
    with atomic_write(path) as temporary:
        temporary.write_text(page, "utf-8")
    return path


def _common(folders: Sequence[Path]) -> Path:
    """The folder that holds all runs."""
    return Path(os.path.commonpath([folder.resolve().parent for folder in folders]))


def _read(folder: Path) -> Run:
    files = read(folder)
    result, model = files.evaluation, files.model
    assert model is not None
    if is_of_images(files.config or {}):
        raise ValueError(
            f"runs: {folder} is a run of images, and runs of event sequences are compared; leave it"
            f" out. `grap-seq report run={folder}` is its page, and `grap-seq reproduce table=3`"
            " compares methods"
        )
    if result is not None and result["made_of"]["model"] != model["weights"]:
        raise ValueError(
            f"{folder / EVALUATION} was made by another model of the run; make it again with "
            f"`grap-seq embed run={folder}` and `grap-seq evaluate run={folder}`"
        )
    return Run(folder, files)


def _title(found: Sequence[Section]) -> str:
    count = sum(len(method.runs) for section in found for method in section.methods)
    methods = max(len(section.methods) for section in found)
    if count == 1:
        return f"One run on {found[0].title}"
    where = listing(section.title for section in found)
    return f"{count} runs of {methods} method{'s' * (methods > 1)} on {where}"


def _section(section: Section) -> dict[str, Any]:
    drawn = looks((method.title, method.weighting) for method in section.methods)
    of = {method.title: [run.files for run in method.runs] for method in section.methods}
    results = [run.files.evaluation for method in section.methods for run in method.runs]
    metric = next((METRIC_NAMES[result["metric"]] for result in results if result), None)
    rows = _rows(section.methods, drawn)
    panels = {
        "validation": trajectories.validation(of),
        "weights": trajectories.weights(of),
        "cosines": trajectories.cosines(of),
    }
    return {
        "title": section.title,
        "metric": metric,
        "rows": rows,
        "baselines": _baselines([result for result in results if result]),
        "scale": _scale(rows),
        "differences": section.differences,
        "notes": _notes(section.methods),
        "costs": _costs(section.methods, drawn),
        "shown": {
            name: shown(len(of), MOST_PANELS, OF_MANY[VALUES[name][1]])
            for name, of in panels.items()
        },
        **{name: _images(some, drawn, name) for name, some in panels.items()},
        "runs": [run for method in section.methods for run in method.runs],
    }


def _images(
    panels: trajectories.Panels, drawn: Mapping[str, Look], name: str
) -> dict[str, str] | None:
    if not panels:
        return None
    some = foremost(panels, VALUES[name][1])
    return images(lambda width: draw_panels(some, drawn, *VALUES[name], width))


def _scores(method: Method, split: str, feature: str = "embedding") -> dict[int, float]:
    """By seed; runs without this score are left out."""
    found = {}
    for run in method.runs:
        value = ((run.files.evaluation or {}).get(split) or {}).get(feature)
        if value is not None:
            found[run.seed] = float(value)
    return found


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation; None for what too few values leave open."""
    known = [value for value in values if value == value]
    return {
        "mean": fmean(known) if known else None,
        "std": stdev(known) if len(known) > 1 else None,
    }


def _rows(methods: Sequence[Method], drawn: Mapping[str, Look]) -> list[dict[str, Any]]:
    tests = {method.title: _scores(method, "test") for method in methods}
    means = {title: fmean(of.values()) for title, of in tests.items() if of}
    best = max(means, key=lambda title: means[title]) if means else None
    return [
        {
            "title": method.title,
            "colour": drawn[method.title].colour,
            "count": len(tests[method.title]) or len(method.runs),
            "scores": sorted(tests[method.title].values()),
            "test": spread(list(tests[method.title].values())),
            "validation": spread(list(_scores(method, "validation").values())),
            # As in the tables of `reproduce`.
            "best": best is not None
            and (method.title == best or tied(tests[method.title], tests[best]) is True),
            "mixed": method.mixed,
            **{name: spread([run.cost[name] for run in method.runs]) for name in MEASURES},
        }
        for method in methods
    ]


def _baselines(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Scores of what LightGBM sees beside the embedding, over all runs."""
    return {
        name: spread([result["test"][name] for result in results if result["test"][name]])
        for name in FEATURES
        if name != "embedding" and results
    }


def _scale(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Range of the dots beside the table, with a margin."""
    ends = [end for row in rows for end in row["scores"]]
    for row in rows:
        mean, std = row["test"]["mean"], row["test"]["std"]
        ends += [] if std is None else [mean - std, mean + std]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _costs(methods: Sequence[Method], drawn: Mapping[str, Look]) -> dict[str, str] | None:
    costs = {
        name: {method.title: [run.cost[name] for run in method.runs] for method in methods}
        for name in MEASURES
    }
    known = any(
        value == value for of in costs.values() for values in of.values() for value in values
    )
    return images(lambda width: draw_costs(costs, drawn, width)) if known else None


def _notes(methods: Sequence[Method]) -> list[str]:
    """What else a reader must know of these numbers."""
    notes = []
    for method in methods:
        if method.repeated:
            seeds = listing(map(str, method.repeated))
            notes.append(
                f"{method.title}: several runs of seed {seeds}. They are no independent runs; the "
                "last one's score counts."
            )
        notes += [
            f"{run.path} has no score: `grap-seq evaluate run={run.path}` makes one."
            for run in method.runs
            if run.files.evaluation is None
        ]
    return notes
