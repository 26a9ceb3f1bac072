"""A method has one colour, whatever it is compared with."""

from __future__ import annotations

from grap_seq.pages.looks import COLOURS, looks
from grap_seq.pages.style import BLUE, GREY, INK


def test_a_weighting_has_its_colour_and_each_of_its_methods_a_line() -> None:
    found = looks([("equal weights", "equal"), ("GraP", "grap"), ("GraP, lr=0.1", "grap")])
    assert [look.colour for look in found.values()] == [INK, BLUE, BLUE]
    assert found["GraP"].line != found["GraP, lr=0.1"].line
    assert looks([("GraP", "grap")])["GraP"] == found["GraP"]
    assert looks([("mine", "mine")])["mine"].colour == GREY


def test_no_two_weightings_share_a_colour() -> None:
    assert len({*COLOURS.values(), GREY}) == len(COLOURS) + 1
