"""Panels show every method where it was, in its colour, and name it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from grap_seq.pages.bands import Band
from grap_seq.pages.bars import draw_costs
from grap_seq.pages.looks import looks
from grap_seq.pages.panels import MOST_PANELS, draw_panels, foremost
from grap_seq.pages.style import BLUE, INK, NARROW, WIDE

LOOKS = looks([("equal weights", "equal"), ("GraP", "grap")])


def flat(value: float, std: float = 0.0, curves: int = 1) -> Band:
    steps = np.array([0.0, 10.0])
    return Band(steps, np.full(2, value), np.full(2, std), curves)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_lines_bands_and_names(width: float) -> None:
    panels = {
        "coles": {"equal weights": flat(1), "GraP": flat(3, 0.5, 2)},
        "time": {"GraP": flat(2)},
    }
    figure = draw_panels(panels, LOOKS, "weight", "positive", width)
    coles, time = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (coles, time)] == ["coles", "time"]
    lines = {line.get_color(): np.asarray(line.get_ydata()).tolist() for line in coles.lines}
    assert lines == {INK: [1, 1], BLUE: [3, 3]}
    assert [line.get_color() for line in time.lines] == [BLUE]
    (band,) = coles.collections
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (2.5, 3.5)
    assert not time.collections
    assert coles.get_ylim()[0] == 0
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["equal weights", "GraP"]


@pytest.mark.parametrize("count", [2, 9])
def test_the_key_lies_within_the_figure_above_the_panels(count: int) -> None:
    many = looks((f"GraP, CoLES times {n}", "grap") for n in range(count))
    figure = draw_panels({"coles": {name: flat(1) for name in many}}, many, "weight", width=NARROW)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box, panel = legend.get_window_extent(), figure.axes[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert panel.y1 < box.y0 < box.y1 <= figure.bbox.y1 + 1
    assert panel.height > 40
    texts = [*legend.get_texts(), legend.get_title()]
    heights = sorted(text.get_window_extent().y0 for text in texts)
    assert np.diff(np.unique(np.round(heights))).min() > 8


def test_of_many_panels_those_that_differ_or_are_farthest_from_zero() -> None:
    panels = {f"{n}": {"equal weights": flat(1), "GraP": flat(1 + n)} for n in range(30)}
    assert list(foremost(panels)) == [f"{n}" for n in range(30 - MOST_PANELS, 30)]
    # As many times apart on another scale.
    scaled = {"small": {"a": flat(0.001), "b": flat(0.1)}, **panels}
    assert "small" in foremost(scaled)
    signs = {f"{n}": {"a": flat(n / 10)} for n in range(-15, 16)}
    assert set(signs) - set(foremost(signs, "signed")) == {f"{n}" for n in range(-3, 4)}


def bars(figure: Figure) -> dict[str, list[float]]:
    return {
        axes.get_title(loc="left"): [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
        for axes in figure.axes
    }


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_bars_are_means_and_what_is_not_known_has_none(width: float) -> None:
    costs = {
        "seconds": {"equal weights": [10.0, 20.0], "GraP": [30.0]},
        "steps_per_second": {"GraP": [5.0, 7.0]},
        "peak_memory_mib": {"equal weights": [float("nan")]},
    }
    figure = draw_costs(costs, LOOKS, width)
    assert bars(figure) == {"training time (s)": [15, 30], "steps per second": [6]}
    first = figure.axes[0]
    # 15 ± 7.07.
    (whisker,) = first.lines
    np.testing.assert_allclose(np.asarray(whisker.get_xdata()), [15 - 50**0.5, 15 + 50**0.5])
    assert [label.get_text() for label in first.get_yticklabels()] == ["equal weights", "GraP"]
