"""Small panels that compare methods: a line each, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from grap_seq.pages.bands import Band
from grap_seq.pages.looks import Look
from grap_seq.pages.style import PALE, WIDE, fitting, styled
from grap_seq.pages.told import ToldFigure

Bands = Mapping[str, Band]
Values = Literal["free", "positive", "signed"]
# Panels that someone may look at.
MOST_PANELS = 24
# Which those are.
OF_MANY: dict[Values, str] = {
    **dict.fromkeys(("free", "positive"), "differ most at the end"),
    "signed": "are farthest from zero",
}
_PANEL, _KEY_ROW = 1.35, 0.2  # inches


def draw_panels(
    panels: Mapping[str, Bands],
    looks: Mapping[str, Look],
    title: str,
    values: Values = "free",
    width: float = WIDE,
) -> ToldFigure:
    """A panel for every loss, in each a line for every method over the training steps.

    Args:
        panels: bands of each method by title, by the panel's title.
        looks: of the methods, in the order of the key.
        title: what is drawn.
        values: whether axes begin at zero (positive), or have a line there (signed).
        width: in inches.
    """
    per_row = max(2, round(width / 1.9))
    rows = -(-len(panels) // per_row)
    names = [name for name in looks if any(name in bands for bands in panels.values())]
    per_key = max(1, int(width * 11 / (max(map(len, names)) + 6)))
    key_rows = -(-len(names) // per_key)
    height = _PANEL * rows + _KEY_ROW * (key_rows + 1) + 0.35
    with styled():
        figure = ToldFigure(figsize=(width, height), layout="constrained")
        grid = np.asarray(figure.subplots(rows, per_row, squeeze=False, sharex=True)).ravel()
        for place, (axes, (name_of, bands)) in enumerate(zip(grid, panels.items(), strict=False)):
            if values == "signed":
                axes.axhline(0, color=PALE, linewidth=1, zorder=0)
            for name in names:
                if name in bands:
                    band = bands[name]
                    draw_band(axes, band, looks[name])
                    figure.tell(axes, name, band.steps, band.mean, words(band), title=name_of)
            if values == "positive":
                axes.set_ylim(bottom=0)
            axes.set_title(fitting(name_of, width / per_row - 0.2))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            if place >= len(panels) - per_row:
                axes.set_xlabel("training step")
                axes.tick_params(labelbottom=True)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.legend(
            handles=[handle(looks[name]) for name in names],
            labels=names,
            loc="outside upper left",
            title=title,
            alignment="left",
            ncols=per_key,
            frameon=False,
            handlelength=2.4,
            labelcolor="linecolor",
            borderaxespad=0,
        )
    return figure


def draw_band(axes: Axes, band: Band, look: Look) -> None:
    """A mean, and a standard deviation to both sides where there are several curves."""
    alone = "o" if len(band.steps) == 1 else None
    options = {"color": look.colour, "alpha": look.alpha, "linestyle": look.line}
    axes.plot(band.steps, band.mean, marker=alone, ms=3, lw=1.3, **options)
    if band.curves > 1:
        low, high = band.mean - band.std, band.mean + band.std
        axes.fill_between(band.steps, low, high, color=look.colour, alpha=0.13, linewidth=0)


def words(band: Band) -> list[str]:
    """What each of its means is, and the deviation of several curves."""
    several = band.curves > 1
    return [
        f"step {step:,.0f}: {mean:.4g}" + (f" ± {std:.2g}" if several else "")
        for step, mean, std in zip(band.steps, band.mean, band.std, strict=True)
    ]


def handle(look: Look) -> Line2D:
    """What stands for a method in a key."""
    return Line2D([], [], color=look.colour, linestyle=look.line, alpha=look.alpha, lw=1.6)


def foremost(panels: Mapping[str, Bands], values: Values = "free") -> dict[str, Bands]:
    """The panels that `OF_MANY` says, in their order."""

    def far(title: str) -> float:
        bands = panels[title].values()
        if values == "signed":
            return max(abs(float(band.mean.mean())) for band in bands)
        ends = np.array([float(band.mean[-1]) for band in bands])
        # By their size, so that losses of all scales have the same chance.
        return float(np.ptp(ends) / (np.abs(ends).mean() or 1.0))

    chosen = set(sorted(panels, key=far, reverse=True)[:MOST_PANELS])
    return {title: bands for title, bands in panels.items() if title in chosen}
