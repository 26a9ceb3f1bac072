"""Places of points in a picture, beside a figure whose axes are known."""

from __future__ import annotations

import base64
import re

import numpy as np

from grap_seq.pages.style import svg
from grap_seq.pages.told import MOST_POINTS, ToldFigure, thinned


def test_places_are_thousandths_from_the_top_left() -> None:
    figure = ToldFigure(figsize=(4, 2))
    axes = figure.add_axes((0.1, 0.2, 0.8, 0.6))
    axes.set(xlim=(0, 10), ylim=(0, 1))
    figure.tell(axes, "shop", [0, 5, np.nan, 10], [0, 0.5, 1, 1], ["a", "b", "gone", "c"], "weight")
    assert figure.told() == [
        {
            "name": "shop",
            "title": "weight",
            "points": [[100, 800, "a"], [500, 500, "b"], [900, 200, "c"]],
        }
    ]


def test_places_are_those_of_the_picture() -> None:
    figure = ToldFigure(figsize=(4, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([3], [7], "o")
    axes.set_xlabel("a label that takes room")
    figure.tell(axes, "one", [3], [7], ["here"])
    text = base64.b64decode(svg(figure).partition(",")[2]).decode()
    ((left, top, _),) = figure.told()[0]["points"]
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', text).groups())  # type: ignore[union-attr]
    x, y = map(float, re.search(r'<use \S+ x="(\S+)" y="(\S+)" style="fill', text).groups())  # type: ignore[union-attr]
    np.testing.assert_allclose([left, top], [1000 * x / width, 1000 * y / height], atol=1)


def test_few_of_many() -> None:
    assert thinned(3).tolist() == [0, 1, 2]
    few = thinned(5000)
    assert (len(few), few[0], few[-1]) == (MOST_POINTS, 0, 4999)
