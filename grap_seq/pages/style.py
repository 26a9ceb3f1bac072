"""One look for all figures: calm axes, colours that colour-blind readers can tell apart, no pyplot.

Figures are built without pyplot, so that nothing global is touched and no display is needed.
Widths are in inches: 7.6 fills a page, 3.7 a phone; text keeps its size in both.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from sklearn.isotonic import isotonic_regression

from grap_seq.terminal import LAYOUT, visible

WIDE, NARROW = 7.6, 3.7

# Okabe and Ito's palette without its yellow, which is too pale for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5AA2")
BLUE, RED = PALETTE[:2]
INK, GREY, PALE = "#2B2F33", "#8A9096", "#D5D9DC"

ARROW = 0.2  # inches between the end of a line and its name

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": GREY,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a name with $ in it is no formula
    "svg.fonttype": "none",  # text stays text: smaller, and drawn in the reader's own font
    "svg.hashsalt": "grap_seq",  # the same figure gives the same file
}


@contextmanager
def styled() -> Iterator[None]:
    """Within this context, figures have the report's look."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A name in any script is text in the SVG, which the reader's own fonts draw.
        warnings.filterwarnings("ignore", "Glyph")
        yield


def spread(
    positions: npt.NDArray[np.float64], gap: float, high: float = np.inf
) -> npt.NDArray[np.float64]:
    """Positions in [0, high] as near as possible to the given ones, at least `gap` apart.

    Subtracting `gap` times the rank turns "at least gap apart" into "not decreasing", which is
    isotonic regression.
    """
    order = np.argsort(positions, kind="stable")
    ranks = gap * np.arange(len(positions))
    free = isotonic_regression(positions[order] - ranks, y_min=0, y_max=high - ranks[-1])
    result = np.empty(len(positions))
    result[order] = free + ranks
    return result


def label_ends(
    axes: Axes, x: float, ends: dict[str, float], colours: dict[str, str], points: float = 11
) -> None:
    """Write each line's name at its right end, moved apart where they would overlap.

    Args:
        axes: Final limits and size must be set.
        x: Where the lines end, in data units.
        ends: Last value of every line.
        colours: Colour of every line.
        points: Height of a line of text.
    """
    names = list(ends)
    low, high = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    inches = (1 - axes.get_position().x1) * width - ARROW - 0.1
    height *= axes.get_position().height * 72
    values = np.array([ends[name] for name in names])
    places = spread((values - low) / (high - low) * height, points, height)
    for name, value, place in zip(names, values, places, strict=True):
        axes.annotate(
            fitting(name, inches),
            xy=(x, value),
            xytext=(72 * ARROW, place - (value - low) / (high - low) * height),
            textcoords="offset points",
            va="center",
            color=colours[name],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": PALE, "linewidth": 0.7, "shrinkA": 1},
        )


def room(names: Iterable[str], most: float) -> float:
    """Inches that names take, at most so many."""
    return min(max(map(_inches, names)) + 0.1, most)


def fitting(name: str, inches: float) -> str:
    """A name, without its middle where it would be longer than so many inches."""
    shown, letters = name, len(name)
    while _inches(shown) > inches + 0.01 and letters > 3:
        letters -= 1
        shown = f"{name[: letters - letters // 2 - 1]}…{name[-(letters // 2) :]}"
    return shown


def _inches(text: str) -> float:
    font = FontProperties(family=_STYLE["font.family"], size=_STYLE["font.size"])
    return float(text_to_path.get_text_width_height_descent(visible(text), font, False)[0]) / 72


def svg(figure: Figure) -> str:
    """The figure as a data URI for an <img>."""
    return uri(svg_text(figure))


def uri(text: str) -> str:
    """An SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def svg_text(figure: Figure) -> str:
    """The figure as a file's content."""
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=200)
    # XML has no control characters, so a name with one would leave no picture.
    return visible(buffer.getvalue(), LAYOUT).replace(
        "'DejaVu Sans'", "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, sans-serif"
    )
