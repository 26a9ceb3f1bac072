"""Figures of a run, for the report and for notebooks.

Each takes a run folder and a width in inches, and returns a matplotlib Figure. In a notebook, load
`%matplotlib inline` first, so that a figure at the end of a cell is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from grap_seq.pages.projection import Projection, groups, project
from grap_seq.pages.read import columns, read
from grap_seq.pages.style import (
    ARROW,
    BLUE,
    GREY,
    INK,
    PALE,
    PALETTE,
    RED,
    WIDE,
    fitting,
    label_ends,
    room,
    styled,
)
from grap_seq.pages.told import ToldFigure, thinned
from grap_seq.pages.words import Fate, fates
from grap_seq.schema import Schema

_FATE_COLOURS: dict[Fate, str] = {"rose": BLUE, "held": INK, "fell": RED, "vanished": RED}
# Names that fit beside the curves of the weights.
MOST_NAMES = 12
# Losses with a panel or row of their own: a wide table has thousands, which nobody would look at.
MOST_LOSSES = 60
# Scores of an epoch, of event sequences and of images.
SCORES = {
    "val_probe": "probe (validation score)",
    "val_accuracy": "classifier (validation accuracy)",
}


def plot_weights(run: Path, width: float = WIDE) -> ToldFigure:
    """Weight of every loss over the training steps; blue rose, orange fell.

    Of many losses those are named that weigh most at the end.

    Raises:
        ValueError: The run has no trajectory: its weights are constant, or training has not begun.
    """
    weights = columns(_trajectory(run), "weight")
    steps = _trajectory(run)["step"]
    colours = {name: _FATE_COLOURS[kind] for name, kind in fates(weights).items()}
    last = {str(name): float(weights[name].iloc[-1]) for name in colours}
    named = sorted(last, key=lambda name: -last[name])[:MOST_NAMES]
    height = max(3.0, 0.19 * len(named) + 1)
    with styled():
        figure = ToldFigure(figsize=(width, height))
        axes = _axes(
            figure, left=0.35, right=room(named, 0.4 * width) + ARROW, bottom=0.45, top=0.3
        )
        axes.axhline(float(weights.iloc[0].mean()), color=PALE, linewidth=1, zorder=0)
        for name in reversed(colours):
            # Thousands of lines as text would be megabytes.
            pale: dict[str, Any] = {"alpha": 0.2, "rasterized": True}
            look = {"alpha": 0.9} if name in named else pale
            axes.plot(steps, weights[name], color=colours[name], **look)
        few = thinned(len(steps))
        for name in named:
            x, y = steps.iloc[few], weights[name].iloc[few]
            texts = [f"step {step:,}: {weight:.3f}" for step, weight in zip(x, y, strict=True)]
            figure.tell(axes, name, x, y, texts)
        axes.set_ylim(0, 1.05 * float(weights.max().max()))
        axes.set_xlim(0, float(steps.iloc[-1]))
        axes.set_xlabel("training step")
        axes.set_title("weight")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        ends = {name: value for name, value in last.items() if name in named}
        label_ends(axes, float(steps.iloc[-1]), ends, colours)
    return figure


def plot_cosines(run: Path, width: float = WIDE) -> ToldFigure:
    """Mean cosine of every loss's gradient with the downstream one; bars are two standard errors.

    Of many losses the 60 farthest from zero are shown.

    Raises:
        ValueError: The run has no trajectory.
    """
    trajectory = _trajectory(run)
    cosines = columns(trajectory, "cosine")
    kinds = fates(columns(trajectory, "weight"))
    mean, error = cosines.mean(), cosines.sem()
    mean = mean.loc[mean.abs().nlargest(MOST_LOSSES).index].sort_values()
    names = [str(name) for name in mean.index]
    left = room(names, 0.4 * width)
    with styled():
        figure = ToldFigure(figsize=(width, 0.21 * len(mean) + 0.8))
        axes = _axes(figure, left=left, right=0.15, bottom=0.4, top=0.3)
        axes.axvline(0, color=PALE, linewidth=1, zorder=0)
        for place, name in enumerate(names):
            colour, bar = _FATE_COLOURS[kinds[name]], 2 * float(error[name])
            axes.errorbar(mean[name], place, xerr=bar, fmt="o", ms=4, color=colour, lw=1.2)
            text = f"cosine {mean[name]:.4f} ± {bar:.4f}"
            figure.tell(axes, name, [mean[name]], [place], [text])
        axes.set_yticks(range(len(names)), [fitting(name, left - 0.1) for name in names])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        # Above the names, not above the axes: the title is longer than a phone's axes.
        axes.set_title("mean cosine with the downstream gradient", x=-left / (width - left - 0.15))
    return figure


def plot_losses(run: Path, width: float = WIDE) -> ToldFigure:
    """Every loss over the epochs, train and validation, one panel each; the probe's score last.

    Of many losses the 60 that weigh most at the end are shown. A line marks the kept epoch.

    Raises:
        ValueError: The run has no metrics.
    """
    files = read(run)
    metrics, kept = files.metrics, (files.training or {}).get("kept")
    if metrics is None or metrics.empty:
        raise ValueError(f"{run} has no metrics.csv; `grap-seq pretrain` writes it")
    lines = {"train": columns(metrics, "loss"), "validation": columns(metrics, "val_loss")}
    names = list(dict.fromkeys(str(name) for frame in lines.values() for name in frame))
    panels: dict[str, dict[str, pd.Series[float]]] = {
        name: {line: frame[name] for line, frame in lines.items() if name in frame}
        for name in _heaviest(names, files.weights)
    }
    for column, title in SCORES.items():
        if column in metrics:
            panels[title] = {"validation": metrics[column]}
    epochs = metrics["epoch"] + 1
    per_row = max(2, round(width / 1.9))
    rows = -(-len(panels) // per_row)
    with styled():
        figure = ToldFigure(figsize=(width, 1.35 * rows + 0.35), layout="constrained")
        grid = np.asarray(figure.subplots(rows, per_row, squeeze=False)).ravel()
        for place, (axes, (name, values)) in enumerate(zip(grid, panels.items(), strict=False)):
            _loss_panel(axes, epochs, values, named=place == 0)
            axes.set_title(fitting(name, width / per_row - 0.2))
            for line, of_epochs in values.items():
                pairs = zip(epochs, of_epochs, strict=True)
                texts = [f"epoch {epoch}: {value:.4g}" for epoch, value in pairs]
                figure.tell(axes, line, epochs, of_epochs, texts, title=name)
            if kept is not None:
                axes.axvline(kept, color=PALE, linewidth=1, zorder=0)
            if place >= len(panels) - per_row:
                axes.set_xlabel("epoch")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
    return figure


def plot_embeddings(run: Path, prepared: Path, width: float = WIDE) -> ToldFigure:
    """t-SNE of up to 2,000 embeddings coloured by label; takes about ten seconds.

    Raises:
        FileNotFoundError: The run has no embeddings.
    """
    return draw_projection(project(run, prepared), Schema.load(prepared), width)


def draw_projection(projection: Projection, schema: Schema, width: float = WIDE) -> ToldFigure:
    """The picture of a projection that is already computed."""
    wide, target = width > 5, schema.label()
    group_of, names = groups(projection.labels, target)
    side = width - 1.8 if wide else width
    with styled():
        figure = ToldFigure(figsize=(width, side), layout="constrained")
        axes = figure.subplots()
        counts = pd.Series(group_of).value_counts()
        coloured = sorted(int(label) for label in counts.index if label >= 0)[: len(PALETTE)]
        drawn = {}
        # Unlabelled first and the largest class next, so that small classes lie on top.
        for label in sorted((int(label) for label in counts.index), key=lambda c: c >= 0):
            chosen = group_of == label
            name = "unlabelled" if label < 0 else names[label]
            # Classes beyond the palette share the ink of the text; few datasets have so many.
            colour = INK if label >= 0 else PALE
            drawn[label] = axes.scatter(
                projection.points[chosen, 0],
                projection.points[chosen, 1],
                s=9 if wide else 5,
                color=PALETTE[coloured.index(label)] if label in coloured else colour,
                alpha=0.75,
                linewidths=0,
                label=f"{name} ({counts[label]:,})",
                rasterized=True,
            )
            x, y = projection.points[chosen].T
            figure.tell(axes, name, x, y, [""] * len(x))
        axes.set_axis_off()
        axes.set_aspect("equal")
        figure.legend(
            handles=[drawn[label] for label in sorted(drawn, key=lambda c: (c < 0, c))],
            loc="outside right upper" if wide else "outside upper left",
            ncols=1 if wide else 2,
            title=None if target is None else target.name,
            alignment="left",
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.0,
            markerscale=2,
        )
    return figure


def _heaviest(names: list[str], weights: pd.DataFrame | None) -> list[str]:
    """The losses that weigh most at the end, in their order; those without a weight come first."""
    last = {}
    if weights is not None and not weights.empty:
        last = columns(weights, "weight").iloc[-1].to_dict()
    chosen = sorted(names, key=lambda name: -last.get(name, np.inf))[:MOST_LOSSES]
    return [name for name in names if name in {*chosen}]


def _loss_panel(
    axes: Axes, epochs: pd.Series[int], lines: dict[str, pd.Series[float]], named: bool
) -> None:
    falls = float(lines[next(iter(lines))].diff().sum()) < 0
    for place, (line, values) in enumerate(lines.items()):
        known = values.notna()
        colour = BLUE if line == "validation" else GREY
        axes.plot(epochs[known], values[known], "o-", ms=2.5, color=colour)
        if named:
            # On the right, where falling curves leave the top free and rising ones the bottom.
            y = (1 if falls else 0.34) - 0.16 * place
            axes.text(1, y, line, color=colour, ha="right", va="top", transform=axes.transAxes)
    axes.margins(y=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _trajectory(run: Path) -> pd.DataFrame:
    weights = read(run).weights
    if weights is None or weights.empty:
        raise ValueError(f"{run} has no weights.parquet; `grap-seq pretrain` writes it")
    return weights


def _axes(figure: ToldFigure, *, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes with margins in inches, so that text fits at every width."""
    width, height = figure.get_size_inches()
    inner = (1 - (left + right) / width, 1 - (bottom + top) / height)
    return figure.add_axes((left / width, bottom / height, *inner))
