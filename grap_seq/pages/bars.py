"""Bars of what methods cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np

from grap_seq.pages.looks import Look
from grap_seq.pages.style import INK, WIDE, fitting, room, styled
from grap_seq.pages.told import ToldFigure

# Titles of the measures of a run's cost, with their units.
MEASURES = {
    "seconds": "training time (s)",
    "steps_per_second": "steps per second",
    "peak_memory_mib": "peak memory (MiB)",
}


def draw_costs(
    costs: Mapping[str, Mapping[str, Sequence[float]]],
    looks: Mapping[str, Look],
    width: float = WIDE,
) -> ToldFigure:
    """A group of bars for every measure that is known: mean over runs, and a standard deviation.

    Args:
        costs: values of the runs of each method by title, by the measure in `MEASURES`.
        looks: of the methods, from top to bottom.
        width: in inches.
    """
    known = {
        measure: means
        for measure in MEASURES
        if (means := {name: _finite(costs.get(measure, {}).get(name, ())) for name in looks})
        and any(means.values())
    }
    names = list(looks)
    # On a phone the measures stand one below the other.
    across = len(known) if width > 5 else 1
    down = len(known) if width <= 5 else 1
    height = (0.24 * len(names) + 0.45) * down + 0.1
    left = room(names, 0.45 * width)
    shown = [fitting(name, left - 0.1) for name in names]
    with styled():
        figure = ToldFigure(figsize=(width, height))
        grid = figure.subplots(down, across, squeeze=False).ravel()
        figure.subplots_adjust(
            left=left / width,
            right=1 - 0.4 / width,
            top=1 - 0.3 / height,
            bottom=0.05 / height,
            wspace=0.45,
            hspace=0.35,
        )
        for place, (axes, (measure, values)) in enumerate(zip(grid, known.items(), strict=True)):
            highest = max(max(of) for of in values.values() if of)
            for row, name in enumerate(names):
                if not values[name]:
                    continue
                mean = fmean(values[name])
                spread = stdev(values[name]) if len(values[name]) > 1 else 0.0
                colour, alpha = looks[name].colour, 0.85 * looks[name].alpha
                axes.barh(row, mean, height=0.62, color=colour, alpha=alpha, linewidth=0)
                if spread:
                    axes.plot([mean - spread, mean + spread], [row, row], color=INK, lw=1.1)
                end = mean + spread + 0.03 * highest
                axes.text(end, row, _short(mean), va="center", color=INK)
                deviation = f" ± {_short(spread)}" if spread else ""
                figure.tell(
                    axes, name, [mean], [row], [_short(mean) + deviation], MEASURES[measure]
                )
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_xlim(0, 1.12 * highest)
            axes.set_xticks([])
            axes.spines["bottom"].set_visible(False)
            axes.set_yticks(range(len(names)), shown if place % across == 0 else [""] * len(names))
            axes.tick_params(axis="y", labelcolor=INK)
            axes.set_title(MEASURES[measure])
    return figure


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
