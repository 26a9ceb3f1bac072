"""Pictures of a grid's runs, beside its table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from grap_seq.experiments.fractions import draw_fractions
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.runs import TRAINED
from grap_seq.files import atomic_write
from grap_seq.pages.bars import draw_costs
from grap_seq.pages.looks import Look, looks
from grap_seq.pages.panels import MOST_PANELS, OF_MANY, draw_panels, foremost
from grap_seq.pages.read import RunFiles, read
from grap_seq.pages.style import styled, svg_text
from grap_seq.pages.trajectories import weights
from grap_seq.pages.words import shown

RESOLUTION = 130  # dots an inch
BANDS = "Means over seeds, in bands of one standard deviation."


@dataclass(frozen=True)
class Picture:
    """A figure with its name and caption.

    Attributes:
        name: end of its files' names.
        caption: what it shows.
        figure: it.
    """

    name: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """Content of the SVG file: drawing takes a second."""
        return svg_text(self.figure)

    def write(self, stem: Path) -> list[Path]:
        """Write STEM_NAME.svg and .png."""
        paths = [stem.with_name(f"{stem.name}_{self.name}.{ending}") for ending in ("svg", "png")]
        with atomic_write(paths[0]) as temporary:
            temporary.write_text(self.svg, "utf-8")
        with atomic_write(paths[1]) as temporary, styled():
            self.figure.savefig(temporary, format="png", dpi=RESOLUTION)
        return paths


def pictures(frame: pd.DataFrame, table: str, runs: Path) -> list[Picture]:
    """What there is to see of a table's runs.

    Args:
        frame: of `scores.raw`.
        table: one of `TABLES`.
        runs: folder of the grid's runs.

    Raises:
        ValueError: a file of a run is damaged.
    """
    done = frame[frame["state"] == "done"]
    found: list[Picture] = []
    if table == "4" and len(done):
        text = f"Score over the share of the labels that weights are learned from. {BANDS}"
        found.append(Picture("labels", text, draw_fractions(done)))
    for (dataset, encoder), part in done.groupby(["dataset", "encoder"], sort=False):
        named = looks(
            (METHODS[name].title, METHODS[name].weighting) for name in part["method"].unique()
        )
        what = f"{dataset}, {encoder}"
        if table == "7":
            found += _costs(part, named, f"{dataset}_{encoder}", what)
        found += _weights(part, named, runs, f"{dataset}_{encoder}", what)
    return found


def _weights(
    part: pd.DataFrame, named: dict[str, Look], runs: Path, name: str, what: str
) -> Iterator[Picture]:
    of: dict[str, list[RunFiles]] = {}
    for method, run in zip(part["method"], part["run"], strict=True):
        # Labels alone, and fine-tuning, weigh nothing.
        if (runs / run / TRAINED / "weights.parquet").is_file():
            of.setdefault(METHODS[method].title, []).append(read(runs / run / TRAINED))
    panels = weights(of)
    if not panels:
        return
    some = foremost(panels, "positive")
    text = f"What the losses weigh over the training steps, {what}. {BANDS} "
    yield Picture(
        f"weights_{name}",
        (text + shown(len(panels), MOST_PANELS, OF_MANY["positive"])).strip(),
        draw_panels(some, named, f"weight of the loss: {what}", "positive"),
    )


def _costs(part: pd.DataFrame, named: dict[str, Look], name: str, what: str) -> Iterator[Picture]:
    measured = {
        "seconds": part["training_seconds"],
        "steps_per_second": part["training_steps"] / part["training_epoch_seconds"],
    }
    if "training_peak_memory_mib" in part:
        measured["peak_memory_mib"] = part["training_peak_memory_mib"]
    titles = part["method"].map(lambda method: METHODS[method].title)
    values = {
        measure: {title: list(of) for title, of in column.groupby(titles, sort=False)}
        for measure, column in measured.items()
    }
    text = f"What training costs, {what}. Means over seeds; lines are one standard deviation."
    yield Picture(f"cost_{name}", text, draw_costs(values, named))
