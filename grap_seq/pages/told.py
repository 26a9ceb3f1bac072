"""A figure that knows in words what it shows where, for readers who point at it in a browser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Of a line: more would be pixels apart.
MOST_POINTS = 100


class ToldFigure(Figure):
    """A figure with words for its points."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._told: list[tuple[Axes, str, str, npt.NDArray[np.float64], list[str]]] = []

    def tell(
        self,
        axes: Axes,
        name: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        texts: Iterable[str],
        title: str = "",
    ) -> None:
        """Say what points are.

        Args:
            axes: Those they are drawn in.
            name: Of the line or group.
            x, y: (N,) places of the points, in the axes' data units.
            texts: (N,) what is said at each.
            title: Of the panel, where there are several.
        """
        places = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
        self._told.append((axes, name, title, places, list(texts)))

    def told(self) -> list[dict[str, Any]]:
        """Name, title of the panel, and points of every line, in the order they were told.

        A point is its place in the picture, in thousandths from the left and from the top, and its
        text. Points that are nowhere, such as those of a value that was not measured, are left out.
        The figure must have been drawn, which puts its axes where they are.
        """
        found = []
        for axes, name, title, places, texts in self._told:
            fractions = axes.transData.transform(places) / self.bbox.size
            thousandths = np.column_stack([fractions[:, 0], 1 - fractions[:, 1]]) * 1000
            points = [
                [round(float(left)), round(float(top)), text]
                for (left, top), text in zip(thousandths, texts, strict=True)
                if np.isfinite(left) and np.isfinite(top)
            ]
            found.append({"name": name, "title": title, "points": points})
        return found


def thinned(count: int) -> npt.NDArray[np.int64]:
    """Places of at most `MOST_POINTS` of so many points, evenly, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64))
