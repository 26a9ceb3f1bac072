"""The colour and the line of every method, the same in all figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from grap_seq.pages.style import GREY, INK, PALETTE

# By the name of a weighting. GraP is blue as in the other figures; what everything is compared with
# has the ink of the text.
COLOURS = {
    "equal": INK,
    "fixed": "#8B5A2B",
    "default": "#556B2F",
    **dict(
        zip(
            ("grap", "gradnorm", "dwa", "mgda", "pcgrad", "supervised", "auxiliary"),
            PALETTE,
            strict=True,
        )
    ),
}
# Of methods that differ in their settings alone.
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (2, 3)))


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        colour: of its weighting; grey for one that is not of this package.
        line: matplotlib's line style.
        alpha: paler for later ones of one colour.
    """

    colour: str
    line: Any
    alpha: float


def looks(weightings: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """Of methods by title: one colour for a weighting, another line for each of its methods.

    Args:
        weightings: title and weighting of each method.
    """
    seen: dict[str, int] = {}
    found = {}
    for title, weighting in weightings:
        colour = COLOURS.get(weighting, GREY)
        place = seen.get(colour, 0)
        seen[colour] = place + 1
        found[title] = Look(colour, LINES[place % len(LINES)], max(0.5, 1 - 0.15 * place))
    return found
