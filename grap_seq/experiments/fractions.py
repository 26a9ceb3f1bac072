"""The score over the share of the labels that weights are learned from (table 4)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from grap_seq.pages.bands import band
from grap_seq.pages.looks import looks
from grap_seq.pages.panels import draw_band
from grap_seq.pages.style import GREY, WIDE, styled
from grap_seq.pages.verdict import METRIC_NAMES

KEY = "labels.fraction="
_ABOVE = 5  # points


def fraction(settings: str) -> float:
    """The share of the labels that a run was given; JSON of its settings."""
    words = (word for word in json.loads(settings) if word.startswith(KEY))
    return float(next(words, f"{KEY}1").removeprefix(KEY))


def curves(part: pd.DataFrame) -> list[pd.Series[float]]:
    """For each seed its scores by the share of the labels."""
    shares = part["settings"].map(fraction)
    found = []
    for seed in part["seed"].unique():
        mine = part["seed"] == seed
        scores = pd.Series(part.loc[mine, "test_embedding"].to_numpy(float), index=shares[mine])
        found.append(scores.sort_index())
    return found


def draw_fractions(done: pd.DataFrame, width: float = WIDE) -> Figure:
    """A panel for every dataset, in it a line for every encoder, and dots for seeds.

    Args:
        done: finished runs of `scores.raw`.
        width: in inches.
    """
    datasets = list(done["dataset"].unique())
    per_row = min(len(datasets), max(1, round(width / 2.5)))
    rows = -(-len(datasets) // per_row)
    size = (min(width, 4.2 * per_row), 2.6 * rows)
    colour = looks([("GraP", "grap")])["GraP"].colour
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        grid = np.asarray(figure.subplots(rows, per_row, squeeze=False)).ravel()
        for axes, dataset in zip(grid, datasets, strict=False):
            part = done[done["dataset"] == dataset]
            encoders = list(part["encoder"].unique())
            shares = sorted(set(part["settings"].map(fraction)))
            drawn = looks((encoder, "grap") for encoder in encoders)
            for encoder in encoders:
                of = curves(part[part["encoder"] == encoder])
                for curve in of:
                    axes.plot(curve.index, curve, "o", ms=2.5, color=GREY, alpha=0.6, mew=0)
                mean = band(of)
                if mean is None:
                    continue
                draw_band(axes, mean, drawn[encoder])
                axes.plot(mean.steps, mean.mean, "o", ms=4, color=colour)
                if len(encoders) > 1:
                    axes.annotate(
                        encoder,
                        (mean.steps[-1], mean.mean[-1]),
                        (-4, _ABOVE),
                        textcoords="offset points",
                        ha="right",
                        color=colour,
                    )
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(shares))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.set_xlabel("labels that weights learn from")
            metric = str(part["metric"].iloc[0])
            axes.set_title(f"{dataset}: {METRIC_NAMES.get(metric, metric)}")
        for axes in grid[len(datasets) :]:
            axes.set_visible(False)
    return figure
